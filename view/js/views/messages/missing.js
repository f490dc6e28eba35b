import { html } from "../../html.js";
import { get } from "../../api.js";
import { duration, relative, time } from "../../format.js";
import { now } from "../../live.js";
import { useLoad } from "../../load.js";
import { go } from "../../router.js";
import { Button, Icon } from "../../ui.js";
import { bornAt, codeIn } from "./query.js";
import { t } from "./text.js";
import { visibleLine } from "./visible.js";

/** There is no such message: what its code tells about why. @param {{ id: string, params: import("./query.js").Params }} props */
export function Missing({ id, params }) {
  const code = codeIn(id);
  return html`<div class="missing column"><${Icon} name="search" size=${28} /><h3>${t(code ? "gone" : "notCode")}</h3>
    <p><code class="break"><bdi>${visibleLine(id)}</bdi></code></p>
    ${code ? html`<${Why} code=${code} />` : html`<p class="break">${t("notCodeHint", { n: id.length })}</p>`}
    <div><${Button} icon="search" onClick=${() => go("Messages", null, { ...params, q: id, cursor: null })}>${t("asText")}<//></div></div>`;
}

/** @param {{ code: string }} props */
function Why({ code }) {
  const born = bornAt(code);
  const at = now.value;
  const { data: keep } = useLoad(keepSeconds, []);
  if (born > at + 60) return html`<p>${t("goneFuture", { time: time(born) })}</p>`;
  const told = html`<p>${t("goneBorn", { time: time(born), ago: relative(born, at) })}</p>`;
  const kept = keep && duration(keep);
  if (kept && born + keep < at) return html`${told}<p><strong>${t("goneExpired", { keep: kept })}</strong></p>`;
  return html`${told}<div><p>${t("goneWhy")}</p><ul class="tips">
    ${keep === null && html`<li>${t("whyExpiredAny")}</li>`}
    <li>${t("whyDeleted")}</li><li>${t("whyServer", { host: location.host })}</li><li>${t("whyNever")}</li></ul></div>`;
}

/** How long messages are kept; 0: for ever. @param {AbortSignal} signal */
async function keepSeconds(signal) {
  const { settings } = /** @type {import("../../types.d.ts").Config} */ (await get("/api/config", {}, { signal }));
  const value = (/** @type {string} */ key) => settings.find((one) => one.key === key)?.value;
  return value("mq.isClean") === "0" ? 0 : Number(value("mq.cleanTime")) || null;
}
