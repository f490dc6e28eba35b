import { html } from "../../html.js";
import { advice } from "../../advice.js";
import { bytes, duration, number, rate } from "../../format.js";
import { connection, now } from "../../live.js";
import { href } from "../../router.js";
import { Icon } from "../../ui.js";
import { Names } from "./attention.js";
import { dataBytes, findings, pace } from "./health.js";
import { t } from "./text.js";

/** @typedef {import("../../types.d.ts").Overview} Overview */
/** @typedef {import("./health.js").Finding} Finding */
/** @typedef {import("../../types.d.ts").Attention} Attention */
/** @typedef {import("../../ui/basic.js").Children} Children */

/** @typedef {ReturnType<typeof import("./use-history.js").useHistory>} History */

/** The three answers that the page is for. @param {{ server: Overview, seconds: History }} props */
export function Verdicts({ server, seconds }) {
  const { backlog } = server;
  return html`<div class="verdicts">
    <${Health} server=${server} />
    <${Pace} history=${seconds} />
    <${Verdict} question=${t("whatWaits")} tone=${backlog.waiting === 0 ? "good" : "neutral"} answer=${backlog.waiting === 0 ? t("nothing") : t("messages", { n: backlog.waiting })}>
      ${backlog.waiting === 0 ? t(server.counts.all === 0 ? "noMessages" : "waitsNothing") : html`${backlog.oldestWaiting !== null && `${t("oldest", { duration: duration(now.value - backlog.oldestWaiting) })} · `}
        <a href=${href("Topics")}>${t("byTopic")}</a>`}<//>
  </div>`;
}

/** @param {{ server: Overview }} props */
function Health({ server }) {
  if (connection.value === "offline") return html`<${Verdict} question=${t("isWell")} tone="neutral" answer=${t("unknownState")} live>${t("unknownDetail")}<//>`;
  const found = findings(server);
  const refusing = server.health.state === "refusing";
  return html`<${Verdict} question=${t("isWell")} tone=${refusing ? "bad" : found.length ? "warn" : "good"} live
    answer=${refusing ? t("refusing") : found.length ? t("lookAt", { n: found.length }) : t("well")}>${t(server.durability === "disk" ? "onDisk" : "inMemory")}<//>`;
}

/** @param {{ history: History }} props */
function Pace({ history: { series, error } }) {
  const { way, tone, trend } = pace(series);
  if (!series && error) return html`<${Verdict} question=${t("isKeeping")} tone="neutral" answer=${t("unknownState")}>${t("seriesFailed")}<//>`;
  const words = trend && { rate: rate(trend.perSecond), seconds: duration(trend.seconds), eta: duration(trend.waiting / trend.perSecond) };
  const detail = /** @type {const} */ ({ unknown: "unknownDetailPace", empty: "emptyDetail", grows: "growsDetail", shrinks: "shrinksDetail", steady: "steadyDetail" });
  return html`<${Verdict} question=${t("isKeeping")} tone=${tone} answer=${t(way)}>${t(detail[way], words ?? {})}<//>`;
}

/** @param {{ question: string, answer: string, tone: import("./health.js").Tone, live?: boolean, children?: Children }} props `live`: changes are announced */
const Verdict = ({ question, answer, tone, live, children }) => html`<section class="card verdict ${tone}"><h2>${question}</h2>
  <p class="answer" role=${live ? "status" : undefined}>${answer}</p><p class="quiet small">${children}</p></section>`;

/** What to look at, and what to do about it. @param {{ server: Overview, attention: Attention | null }} props */
export function Findings({ server, attention }) {
  const found = findings(server);
  return found.length > 0 && html`<ul class="findings">${found.map((one) => html`<li key=${one.kind} class="note ${one.tone}"><${Icon} name="warn" />
    <div><${FindingText} kind=${one.kind} server=${server} attention=${attention} /></div></li>`)}</ul>`;
}

/** @param {{ kind: Finding["kind"], server: Overview, attention: Attention | null }} props */
function FindingText({ kind, server, attention }) {
  const { backlog, disk, health } = server;
  if (kind === "refusing") return html`<p><b>${t("refusingTitle")}</b> ${health.reasons.length > 0 && t("reasonsAre")}</p>
    ${health.reasons.map((reason) => html`<div key=${reason}><p class="break"><code>${reason}</code></p><p>${t(fix(reason), { path: disk?.path ?? "data" })}</p></div>`)}
    ${health.reasons.length === 0 && html`<p>${t("fixOther", { path: disk?.path ?? "data" })}</p>`}`;
  if (kind === "damaged") return html`<p><b>${t("damagedTitle")}</b> ${t("damagedFix")}</p>
    ${health.damage.map((damage) => html`<p key=${damage} class="break"><code>${damage}</code></p>`)}`;
  if (kind === "impaired") return html`<p><b>${t("impairedTitle")}</b> ${t("impairedFix", { path: disk?.path ?? "data" })}</p>
    ${health.reasons.map((reason) => html`<p key=${reason} class="break"><code>${reason}</code></p>`)}`;
  if (kind === "keys") return html`<p><b>${t("keysTitle")}</b> ${t("keysFix")}</p><p class="break"><code>${health.keys}</code></p>`;
  if (kind === "diskLow" && disk) return html`<p><b>${t("diskLowTitle", { free: bytes(disk.freeBytes), total: bytes(disk.totalBytes) })}</b> ${t("diskLowFix", { data: bytes(dataBytes(disk)) })}
    ${" "}<a href=${href("Config", null, { q: "cleanTime" })}>${t("toConfig")}</a></p>`;
  if (kind === "queueFull") return html`<p>
    <b>${t("queueFullTitle", { queued: number(backlog.queued), capacity: number(backlog.queueCapacity) })}</b>
    ${" "}${t("queueFullFix")} ${server.pacePerSecond !== null ? advice("paced") : t("queueFullElse")}
    ${" "}<a href=${href("Config", null, { q: "mq." })}>${t("toConfig")}</a></p>`;
  if (kind === "behind") return html`<p><b>${t("behindTitle", { n: backlog.topicsBehind })}</b> ${advice("behind")}
    ${" "}<a href=${href("Clients", null, { role: "consumer" })}>${t("toClients")}</a></p>
    <${Names} attention=${attention} reason="behind" total=${backlog.topicsBehind} />`;
  if (kind === "unread" && backlog.withoutConsumer) {
    const { topics, messages, afterSeconds } = backlog.withoutConsumer;
    return html`<p><b>${t("unreadTitle", { n: topics, messages })}</b>
      ${" "}${t("unreadSince", { duration: duration(afterSeconds) })} ${advice("nobody")}</p>
      <${Names} attention=${attention} reason="no_consumer" total=${topics} />`;
  }
  if (kind === "nobody") return html`<p><b>${t("nobodyTitle")}</b> ${t("nobodyFix", { n: backlog.waiting })} <a href=${href("Try")}>${t("toTry")}</a></p>`;
  return html`<p><b>${t("memoryOnlyTitle")}</b> ${t("memoryOnlyFix")} <a href=${href("Config", null, { q: "isPersistent" })}>${t("toConfig")}</a></p>`;
}

/** What helps, by the system's words for it. @param {string} reason */
const fix = (reason) => (/space|full|quota/i.test(reason) ? "fixSpace" : /sync/i.test(reason) ? "fixSync"
  : /permission|denied|read-only/i.test(reason) ? "fixAccess" : "fixOther");
