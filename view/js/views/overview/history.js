/** @typedef {import("../../types.d.ts").Series} Series */
/** @typedef {import("../../types.d.ts").SeriesPoint} SeriesPoint */
/** @typedef {{ id: string, seconds: number, step: number, each: number }} Range `each`: seconds that become one point of the chart */
/** @typedef {{ times: number[], accepted: number[], delivered: number[], notConsumed: number[], waiting: number[] }} Drawn per second; `waiting` is a count */

const COLUMNS = /** @type {const} */ (["accepted", "delivered", "consumed", "notConsumed", "waiting"]);

/** When the newest step ended. @param {Series} series */
export const endOf = (series) => series.start + series.step * series.waiting.length;

/** The newest second by itself. @param {SeriesPoint} point @param {number} since @returns {Series} */
export const ofPoint = (point, since) => ({
  step: 1, start: point.at, since, accepted: [point.accepted], delivered: [point.delivered],
  consumed: [point.consumed], notConsumed: [point.notConsumed], waiting: [point.waiting],
});

/**
 * `more` behind `old`, of which at most `max` points stay; null if they do not belong together: there is a hole
 * between them, or the server began anew.
 * @param {Series} old @param {Series} more @param {number} max @returns {Series | null}
 */
export function join(old, more, max) {
  const keep = (more.start - old.start) / old.step;
  if (more.since !== old.since || more.step !== old.step || more.start > endOf(old) || keep < 0) return null;
  const joined = { ...more };
  for (const column of COLUMNS) joined[column] = [...old[column].slice(0, keep), ...more[column]].slice(-max);
  joined.start = endOf(more) - joined.waiting.length * more.step;
  return joined;
}

/** @type {Range[]} */
export const RANGES = [
  { id: "5m", seconds: 300, step: 1, each: 1 },
  { id: "15m", seconds: 900, step: 1, each: 3 },
  { id: "1h", seconds: 3600, step: 1, each: 10 },
  { id: "24h", seconds: 86400, step: 60, each: 300 },
  { id: "30d", seconds: 30 * 86400, step: 3600, each: 7200 },
];

/** Everything since the server's start, in the finest steps that are kept that long. @param {number} age seconds @returns {Range} */
function sinceStart(age) {
  const { step } = RANGES.find(({ seconds }) => age <= seconds && seconds >= 3600) ?? RANGES[RANGES.length - 1];
  return { id: "all", seconds: Math.min(age, RANGES[RANGES.length - 1].seconds), step, each: Math.max(1, Math.ceil(age / 300 / step)) * step };
}

/** The first range is always there, the others when the server has run that long. @param {Range} range @param {number} age seconds */
export const exists = (range, age) => range === RANGES[0] || age >= range.seconds;

/** The range of that name; if the server has not run that long, all there is. @param {string | undefined} id @param {number} age seconds @returns {Range} */
export function chosen(id, age) {
  const range = id === "all" ? null : RANGES.find((one) => one.id === id) ?? RANGES[0];
  return range && exists(range, age) ? range : sinceStart(age);
}

/**
 * The part of `series` from `from` on for a chart, each point the mean of `each` seconds. They stand on multiples of
 * `each` so that they stay the same while time passes; the first and last are left out as long as they are not whole.
 * @param {Series} series @param {number} from @param {number} each @returns {Drawn}
 */
export function draw(series, from, each) {
  /** @type {Drawn} */
  const drawn = { times: [], accepted: [], delivered: [], notConsumed: [], waiting: [] };
  const steps = each / series.step;
  const first = Math.max(Math.ceil(from / each) * each, Math.ceil(series.start / each) * each);
  for (let at = first; at + each <= endOf(series); at += each) {
    const begin = (at - series.start) / series.step;
    for (const column of /** @type {const} */ (["accepted", "delivered", "notConsumed"])) {
      let sum = 0;
      for (let i = begin; i < begin + steps; i++) sum += series[column][i];
      drawn[column].push(sum / each);
    }
    drawn.times.push(at);
    drawn.waiting.push(series.waiting[begin + steps - 1]);
  }
  return drawn;
}
