import { html } from "../../html.js";
import { number, percent } from "../../format.js";
import { href } from "../../router.js";
import { Card, uiText } from "../../ui.js";
import { part } from "./figures.js";
import { t } from "./text.js";

/** @typedef {import("../../types.d.ts").Status} Status */

/** @param {{ counts: import("../../types.d.ts").Counts }} props */
export function Statuses({ counts }) {
  const rows = /** @type {[Status, string, number, string][]} */ ([
    ["accepted", "−1", counts.accepted, "--series-1"], ["not_consumed", "0", counts.notConsumed, "--series-3"], ["consumed", "1", counts.consumed, "--series-2"],
  ]);
  return html`<${Card} title=${t("byStatus")}><ul class="statuses">
    <li><a href=${href("Messages")}>${t("all_")}</a><b class="num">${number(counts.all)}</b></li>
    ${rows.map(([status, code, n, color]) => html`<li key=${status}><span class="row status-name"><a href=${href("Messages", null, { status })}>${uiText(status)}</a>
        <span class="quiet small nowrap">${t("code", { code })}</span></span>
      <span class="num nowrap"><b>${number(n)}</b> <span class="quiet small">${counts.all > 0 ? percent(n / counts.all) : "–"}</span></span>
      <div class="bar" aria-hidden="true"><div style=${{ width: part(n, counts.all), background: `var(${color})` }}></div></div></li>`)}
  </ul><//>`;
}
