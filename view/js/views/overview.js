import { html } from "../html.js";
import { duration, time } from "../format.js";
import { now, overview } from "../live.js";
import { route } from "../router.js";
import { Loading } from "../ui.js";
import { AttentionList, useAttention } from "./overview/attention.js";
import { Figures } from "./overview/figures.js";
import { FirstSteps } from "./overview/first-steps.js";
import { chosen, RANGES } from "./overview/history.js";
import { Statuses } from "./overview/statuses.js";
import { Storage } from "./overview/storage.js";
import { t } from "./overview/text.js";
import { Traffic } from "./overview/traffic.js";
import { useHistory } from "./overview/use-history.js";
import { Findings, Verdicts } from "./overview/verdicts.js";
import { Week } from "./overview/week.js";

export default function Overview() {
  const server = overview.value;
  const age = server ? Math.max(0, now.value - server.startedAt) : 0;
  const range = chosen(route.value.params.range, age);
  // Seconds are always wanted: they tell where the backlog goes.
  const seconds = useHistory(1, range.step === 1 ? Math.max(RANGES[0].seconds, range.seconds) : RANGES[0].seconds);
  const longer = useHistory(range.step === 1 ? null : range.step, Math.ceil(range.seconds / range.step) + 1);

  return html`<div class="view overview">
    <div class="view-head"><div><h1>${t("title")}</h1>
      <p class="lead">${server ? t("lead", { version: server.version, uptime: duration(age), time: time(server.startedAt) }) : " "}</p></div></div>
    ${server ? html`
      <${Verdicts} server=${server} seconds=${seconds} />
      <${Attention} server=${server} />
      ${server.counts.all === 0 && html`<${FirstSteps} server=${server} />`}
      <${Figures} server=${server} />
      <${Traffic} server=${server} range=${range} age=${age} history=${range.step === 1 ? seconds : longer} />
      <div class="overview-columns"><${Week} />
        <div class="overview-side"><${Statuses} counts=${server.counts} /><${Storage} disk=${server.disk} /></div></div>`
      : html`<${Loading} lines=${8} />`}
  </div>`;
}

/** What to look at, and the topics among it. @param {{ server: import("../types.d.ts").Overview }} props */
function Attention({ server }) {
  const attention = useAttention(server);
  return html`<${Findings} server=${server} attention=${attention} /><${AttentionList} attention=${attention} />`;
}
