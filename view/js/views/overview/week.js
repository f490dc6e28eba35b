import { html } from "../../html.js";
import { get } from "../../api.js";
import { Chart } from "../../chart.js";
import { compact, number, time, zoneName } from "../../format.js";
import { locale } from "../../i18n.js";
import { now } from "../../live.js";
import { useLoad } from "../../load.js";
import { href, route } from "../../router.js";
import { Card, ErrorState, Loading } from "../../ui.js";
import { byDay, byHour } from "./growth.js";
import { count } from "./figures.js";
import { t } from "./text.js";

/** @typedef {import("./growth.js").Day} Day */
/** @typedef {import("../../types.d.ts").Growth} Growth */

const EVERY_MS = 30_000;

/** Messages accepted in the last seven days, and in the hours of one of them. */
export function Week() {
  const { data, error, reload } = useLoad((signal) => get("/api/growth", { bucket: "quarter", days: 8 }, { signal }), [], { every: EVERY_MS });
  const growth = /** @type {Growth | null} */ (data);
  const days = growth && byDay(growth.buckets, now.value);
  const total = days && days.reduce((sum, day) => sum + day.accepted, 0);
  return html`<${Card} title=${t("week")} actions=${total !== null && html`<b class="week-total">${t("total", { n: total })}</b>`}>
    ${days && growth ? html`<div class="column">
      <p class="quiet small">${t("weekLead", { zone: zoneName() })}</p><${Bars} days=${days} /><${Hours} days=${days} growth=${growth} /></div>`
      : error ? html`<${ErrorState} error=${error} what=${t("growthFailed")} onRetry=${reload} />` : html`<${Loading} lines=${6} />`}<//>`;
}

/** Each day is a link to its hours, or away from them. @param {{ days: Day[] }} props */
function Bars({ days }) {
  const { params } = route.value;
  const most = Math.max(1, ...days.map((day) => day.accepted));
  return html`<ol class="week">${days.map((day, i) => {
    const open = params.day === day.date;
    const name = `${weekday(day.start)} ${time(day.start, "day")}`;
    return html`<li key=${day.date}><a href=${href("Overview", null, { ...params, day: open ? null : day.date })} aria-current=${open ? "true" : undefined} title=${t("dayHas", { day: name, n: day.accepted })}>
      <span class="week-count">${day.accepted < 100_000 ? number(day.accepted) : compact(day.accepted)}</span>
      <span class="week-bar"><span class=${day.accepted === 0 ? "none" : ""} style=${{ height: `${(day.accepted / most) * 100}%` }}></span></span>
      <span class="week-day">${i === days.length - 1 ? t("today") : weekday(day.start)}<br />${shortDate(day.start)}</span></a></li>`;
  })}</ol>`;
}

/** @param {{ days: Day[], growth: Growth }} props */
function Hours({ days, growth }) {
  const { params } = route.value;
  if (!params.day) return html`<p class="quiet small">${t("chooseDay")}</p>`;
  const day = days.find((one) => one.date === params.day);
  const close = html`<a href=${href("Overview", null, { ...params, day: null })}>${t("closeDay")}</a>`;
  if (!day) return html`<p class="quiet small"><span class="break">${t("notInWeek", { day: params.day })}</span> ${close}</p>`;
  const name = time(day.start, "date");
  const hours = byHour(growth.buckets, day, now.value);
  return html`<div><div class="row between"><h3>${t("hoursOf", { day: name, n: day.accepted })}</h3><span class="small">${close}</span></div>
    <${Chart} label=${t("perHour", { day: name })} times=${hours.map((hour) => hour.start)} series=${[{ label: t("accepted"), values: hours.map((hour) => hour.accepted), color: "--series-1", kind: "bars" }]}
      step=${3600} from=${day.start} to=${day.end - 1} height=${150} format=${count} timeFormat=${(/** @type {number} */ at) => time(at, "minute")} /></div>`;
}

const weekday = (/** @type {number} */ unix) => new Intl.DateTimeFormat(locale(), { weekday: "short" }).format(unix * 1000);
/** As short as it can be: seven of them stand beside each other on a phone. @param {number} unix */
const shortDate = (unix) => new Intl.DateTimeFormat(locale(), { month: "numeric", day: "numeric" }).format(unix * 1000);
