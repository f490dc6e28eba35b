/** @typedef {import("../../types.d.ts").Series} Series */
/** @typedef {{ way: "grows" | "shrinks" | "steady", perSecond: number, seconds: number, waiting: number }} Trend */

const TREND_SECONDS = 15, TREND_SECONDS_MIN = 6, RECENT_SECONDS = 6, AFTER_JUMP_MIN = 4;
/** Less than this part of the traffic comes and goes by itself; and so many messages in all. */
const TREND_MIN = 0.05, MESSAGES_MIN = 5;

/** The median of the slopes between any two points (Theil and Sen): a burst that is over does not turn it. @param {number[]} values one a second */
export function slope(values) {
  const slopes = [];
  for (let from = 0; from < values.length; from++) {
    for (let to = from + 1; to < values.length; to++) slopes.push((values[to] - values[from]) / (to - from));
  }
  slopes.sort((a, b) => a - b);
  const middle = slopes.length / 2;
  return (slopes[Math.floor(middle)] + slopes[Math.ceil(middle) - 1]) / 2;
}

/** What came after a burst that is more than all else that changed, if that is enough. @param {number[]} values */
function sinceJump(values) {
  const changes = values.slice(1).map((value, i) => Math.abs(value - values[i]));
  const most = Math.max(...changes), after = changes.indexOf(most) + 1;
  const rest = changes.reduce((sum, n) => sum + n, 0) - most;
  return most > rest && values.length - after >= AFTER_JUMP_MIN ? values.slice(after) : values;
}

/** Where the backlog goes now; null as long as too little is known. @param {Series | null} series of seconds @returns {Trend | null} */
export function trend(series) {
  const known = series?.waiting.slice(-TREND_SECONDS) ?? [];
  if (!series || known.length < TREND_SECONDS_MIN) return null;
  const last = sinceJump(known);
  const whole = slope(last), recent = slope(last.slice(-RECENT_SECONDS));
  // After a burst of some seconds most pairs have it between them: the last ones tell which way it goes by now.
  const turned = whole * recent < 0;
  const perSecond = turned ? recent : whole, seconds = turned ? Math.min(RECENT_SECONDS, last.length) : last.length;
  // What flowed between these points: in the second of the first one it was before them.
  const mean = (/** @type {number[]} */ column) => column.slice(1 - seconds).reduce((sum, n) => sum + n, 0) / (seconds - 1);
  const traffic = Math.max(mean(series.accepted), mean(series.consumed));
  const way = Math.abs(perSecond) < Math.max(MESSAGES_MIN / seconds, traffic * TREND_MIN) ? "steady" : perSecond > 0 ? "grows" : "shrinks";
  return { way, perSecond: Math.abs(perSecond), seconds, waiting: last[last.length - 1] };
}
