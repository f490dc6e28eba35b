/** @typedef {{ start: number, accepted: number }} Bucket */
/** @typedef {{ date: string, start: number, end: number, accepted: number }} Day `date`: "2026-11-22"; `start` to `end`: 23 to 25 hours */

const DAYS = 7;

/** The date in the browser's zone. @param {Date} at */
export const dateOf = (at) => [String(at.getFullYear()).padStart(4, "0"), at.getMonth() + 1, at.getDate()].map((n) => String(n).padStart(2, "0")).join("-");

/** When the day that many days before `now`'s begins. @param {Date} now @param {number} back */
const midnight = (now, back) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - back);

const unix = (/** @type {Date} */ at) => Math.floor(at.getTime() / 1000);

/** @param {Bucket[]} quarters @param {number} from @param {number} to */
const sum = (quarters, from, to) => quarters.reduce((n, { start, accepted }) => (start >= from && start < to ? n + accepted : n), 0);

/** The last seven days of the browser's zone, today last. @param {Bucket[]} quarters @param {number} now Unix seconds @returns {Day[]} */
export function byDay(quarters, now) {
  const today = new Date(now * 1000);
  return Array.from({ length: DAYS }, (_, i) => {
    const begin = midnight(today, DAYS - 1 - i), start = unix(begin), end = unix(midnight(today, DAYS - 2 - i));
    return { date: dateOf(begin), start, end, accepted: sum(quarters, start, end) };
  });
}

/**
 * The hours of a day, as far as they have begun. Hours are those of the clock: where the zone is half an hour off,
 * they begin at its full hours.
 * @param {Bucket[]} quarters @param {Day} day @param {number} now @returns {Bucket[]}
 */
export function byHour(quarters, day, now) {
  /** @type {Bucket[]} */
  const hours = [];
  for (let start = day.start; start < Math.min(day.end, now + 1);) {
    const end = start + 3600 - new Date(start * 1000).getMinutes() * 60;
    hours.push({ start, accepted: sum(quarters, start, Math.min(end, day.end)) });
    start = end;
  }
  return hours;
}
