import uPlot from "../vendor/uPlot.js";
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { number, time } from "./format.js";
import { lang } from "./i18n.js";
import { themeChanged } from "./theme.js";
import { Empty, IconButton } from "./ui.js";
import { t } from "./ui/text.js";

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {number[]} values as many as `times`
 * @property {string} color the name of a CSS variable: "--series-1" … "--series-4"
 * @property {"line" | "area" | "bars"} [kind] "line"
 * @property {number} [now] what is told as long as no point is chosen, if not the last of `values`
 */

const TABLE_ROWS = 400;

/** @param {string} name */
const colorOf = (name) => {
  // A variable holds `light-dark(…)` as text: only a property of an element is resolved to a colour.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
};

/** @param {string} color "rgb(…)" @param {number} alpha */
const faded = (color, alpha) => color.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);

/**
 * A chart over time that keeps up with new `times` and `values` without being made anew.
 * @param {{ label: string, times: number[], series: Line[], step?: number, from?: number, to?: number, height?: number,
 *   format?: (n: number) => string, timeFormat?: (unix: number) => string, nowHint?: string, empty?: string }} props
 *   `times`: Unix seconds, ascending; `step`: seconds between them; `from`, `to`: the span shown, if not that of `times`;
 *   `nowHint`: what the values are of while no point is chosen
 */
export function Chart({ label, times, series, step = 1, from, to, height = 220, format = (n) => number(n, 2), timeFormat, nowHint, empty }) {
  const [asTable, setAsTable] = useState(false);
  const [cursor, setCursor] = useState(/** @type {number | null} */ (null));
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const none = times.length === 0;
  const shape = series.map((one) => `${one.label}\t${one.color}\t${one.kind ?? "line"}`).join("\n");
  /** What uPlot asks for while drawing: always the newest. */
  const latest = useRef({ format, from, to, step });
  latest.current = { format, from, to, step };
  const data = useMemo(() => [times, ...series.map((one) => one.values)], [times, ...series.map((one) => one.values)]);
  const name = `${label}. ${series.map((one) => `${one.label}: ${one.values.length ? t("latest", { value: format(one.now ?? one.values[one.values.length - 1]) }) : t("noData")}`).join("; ")}`;
  const tell = timeFormat ?? ((/** @type {number} */ at) => (step >= 86400 ? time(at, "date") : time(at)));

  useEffect(() => {
    const target = box.current;
    if (!target || asTable || none) return;
    const made = make(target, series, data, height, latest, setCursor);
    plot.current = made;
    const watch = new ResizeObserver(() => { if (target.clientWidth) made.setSize({ width: target.clientWidth, height }); });
    watch.observe(target);
    return () => { watch.disconnect(); made.destroy(); plot.current = null; };
  }, [shape, asTable, none, height, themeChanged.value, lang.value]);

  useEffect(() => { plot.current?.setData(data); }, [data, from, to]);
  useEffect(() => {
    const canvas = plot.current?.root.querySelector("canvas");
    canvas?.setAttribute("role", "img");
    canvas?.setAttribute("aria-label", name);
  });

  const at = cursor !== null && cursor < times.length ? cursor : null;
  const told = (/** @type {Line} */ one) => (at === null ? one.now ?? one.values[times.length - 1] : one.values[at]);
  return html`<div class="chart">
    <div class="chart-head"><ul class="legend">${series.map((one) => html`<li key=${one.label}><span class="swatch" style=${{ background: `var(${one.color})` }}></span>
      ${one.label} <b>${none || told(one) === undefined ? "–" : format(told(one))}</b></li>`)}</ul>
      <span class="quiet chart-time">${none ? "" : at === null ? nowHint : tell(times[at])}</span>
      <${IconButton} icon=${asTable ? "chart" : "table"} label=${t(asTable ? "asChart" : "asTable")} aria-pressed=${asTable ? "true" : "false"} onClick=${() => setAsTable(!asTable)} /></div>
    ${none ? html`<div class="chart-empty" style=${{ minHeight: `${height}px` }}><${Empty} icon="chart" title=${empty ?? t("noData")} /></div>`
      : asTable ? html`<${Twin} label=${label} times=${times} series=${series} format=${format} tell=${tell} height=${height} />`
        : html`<div ref=${box} class="plot" style=${{ height: `${height}px` }}></div>`}
  </div>`;
}

/** The same numbers, newest first. @param {{ label: string, times: number[], series: Line[], format: (n: number) => string, tell: (unix: number) => string, height: number }} props */
function Twin({ label, times, series, format, tell, height }) {
  const rows = times.map((_, i) => times.length - 1 - i).slice(0, TABLE_ROWS);
  return html`<div class="twin" style=${{ maxHeight: `${height}px` }} tabIndex=${0} role="region" aria-label=${label}><table class="table">
    <caption class="sr-only">${label}</caption>
    <thead><tr><th scope="col">${t("time")}</th>${series.map((one) => html`<th key=${one.label} scope="col" class="num">${one.label}</th>`)}</tr></thead>
    <tbody>${rows.map((i) => html`<tr key=${times[i]}><th scope="row">${tell(times[i])}</th>${series.map((one) => html`<td key=${one.label} class="num">${format(one.values[i] ?? 0)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/**
 * @param {HTMLElement} target @param {Line[]} series @param {import("../vendor/uPlot.js").Data} data @param {number} height
 * @param {{ current: { format: (n: number) => string, from?: number, to?: number, step: number } }} latest
 * @param {(index: number | null) => void} onCursor
 */
function make(target, series, data, height, latest, onCursor) {
  const quiet = colorOf("--quiet");
  const axis = { stroke: quiet, grid: { stroke: colorOf("--grid"), width: 1 }, ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` };
  const bars = series.some((one) => one.kind === "bars");
  return new uPlot({
    width: target.clientWidth || 300,
    height,
    // The last time below the axis stands out by half its width.
    padding: [10, 26, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: {
        range: (/** @type {uPlot} */ u) => {
          const { from, to, step } = latest.current;
          const times = u.data[0], first = times[0] ?? 0, last = times[times.length - 1] ?? 0;
          const start = from ?? first, end = to ?? (bars ? last + step : last);
          // Around one point alone, some room.
          return end > start ? [start, end] : [start - 30 * step, start + 30 * step];
        },
      },
      y: { range: (/** @type {uPlot} */ _, /** @type {number} */ __, /** @type {number | null} */ max) => [0, max && max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      {
        ...axis, space: 70, size: 26, gap: 6,
        values: (
          /** @type {uPlot} */ _, /** @type {number[]} */ splits,
          /** @type {number} */ __, /** @type {number} */ ___, /** @type {number} */ distance,
        ) => splits.map((at) => tick(at, distance)),
      },
      {
        ...axis, space: 36,
        size: (/** @type {uPlot} */ _, /** @type {string[] | null} */ values) =>
          18 + 6.5 * Math.max(2, ...(values ?? []).map((v) => v?.length ?? 0)),
        values: (/** @type {uPlot} */ _, /** @type {number[]} */ splits) => splits.map((n) => latest.current.format(n)),
      },
    ],
    series: [{}, ...series.map(({ label, color, kind = "line" }) => {
      const stroke = colorOf(color);
      return {
        label, stroke, width: kind === "bars" ? 0 : 1.5,
        fill: kind === "line" ? undefined : faded(stroke, kind === "area" ? 0.14 : 0.85),
        paths: kind === "bars" ? uPlot.paths.bars({ size: [0.75, 48], align: 1, radius: 0.1 }) : undefined,
        // One point alone makes no line.
        points: { show: (/** @type {uPlot} */ u) => kind !== "bars" && u.data[0].length < 3, size: 7, fill: stroke },
      };
    })],
    hooks: { setCursor: [(/** @type {uPlot} */ u) => onCursor(u.cursor.left !== undefined && u.cursor.left >= 0 ? u.cursor.idx ?? null : null)] },
  }, data, target);
}

/** @param {number} at @param {number} distance of the ticks, seconds */
function tick(at, distance) {
  if (distance >= 86400) return time(at, "day");
  const midnight = new Date(at * 1000);
  if (midnight.getHours() === 0 && midnight.getMinutes() === 0 && midnight.getSeconds() === 0) return time(at, "day");
  return time(at, distance >= 60 ? "minute" : "time");
}
