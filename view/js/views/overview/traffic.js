import { html, useMemo } from "../../html.js";
import { Chart } from "../../chart.js";
import { duration, rate } from "../../format.js";
import { lang } from "../../i18n.js";
import { setParams } from "../../router.js";
import { Card, ErrorState, Segments } from "../../ui.js";
import { count } from "./figures.js";
import { draw, endOf, exists, RANGES } from "./history.js";
import { t } from "./text.js";

/** @typedef {import("./history.js").Range} Range */

/** @param {{ server: import("../../types.d.ts").Overview, range: Range, age: number, history: ReturnType<typeof import("./use-history.js").useHistory> }} props */
export function Traffic({ server, range, age, history: { series, error, retry } }) {
  const { rates, backlog } = server;
  const to = series ? endOf(series) : 0;
  const from = Math.max(series?.since ?? 0, to - range.seconds);
  const drawn = useMemo(() => (series ? draw(series, from, range.each) : null), [series, from, range.each]);
  // Each point stands at the beginning of its time: where the last one stands, the chart ends.
  const span = drawn?.times.length ? { from: Math.max(from, drawn.times[0]), to: drawn.times[drawn.times.length - 1] } : {};
  const lines = useMemo(() => drawn && [
    { label: t("accepted"), values: drawn.accepted, color: "--series-1", kind: /** @type {const} */ ("area"), now: rates.accepted },
    { label: t("delivered"), values: drawn.delivered, color: "--series-2", now: rates.delivered },
    { label: t("notConsumed"), values: drawn.notConsumed, color: "--series-3", now: rates.notConsumed },
  ], [drawn, rates, lang.value]);
  const mean = range.each === 1 ? t("perSecond") : t("perSecondMean", { each: duration(range.each) });

  return html`<${Card} title=${t("traffic")} actions=${html`<${Spans} range=${range} age=${age} />`}>
    ${error && !series ? html`<${ErrorState} error=${error} what=${t("seriesFailed")} onRetry=${retry} />` : html`<div class="traffic">
      <figure><figcaption class="quiet small">${mean}</figcaption>
        <${Chart} label=${mean} times=${drawn?.times ?? []} series=${lines ?? []} step=${range.each} ...${span} height=${200} format=${rate} nowHint=${t("mean")} empty=${t("noTraffic")} /></figure>
      <figure><figcaption class="quiet small">${t("waitingMessages")}</figcaption>
        <${Chart} label=${t("waiting")} times=${drawn?.times ?? []}
          series=${drawn ? [{ label: t("waiting"), values: drawn.waiting, color: "--series-4", kind: "area", now: backlog.waiting }] : []}
          step=${range.each} ...${span} height=${200} format=${count} empty=${t("noTraffic")} /></figure>
    </div>`}
    ${!exists(RANGES[RANGES.length - 1], age) && html`<p class="quiet small traffic-note">${t("notYetShort", { age: duration(age) })}</p>`}
  <//>`;
}

/** @param {{ range: Range, age: number }} props */
function Spans({ range, age }) {
  const missing = RANGES.some((one) => !exists(one, age));
  const options = RANGES.map((one) => ({ value: one.id, label: t(/** @type {"5m"} */ (one.id)), disabled: exists(one, age) ? undefined : t("notYet", { age: duration(age) }) }));
  return html`<${Segments} label=${t("range")} value=${range.id} options=${missing ? [...options, { value: "all", label: t("all") }] : options}
    onValue=${(/** @type {string} */ id) => setParams({ range: id === RANGES[0].id ? null : id })} />`;
}
