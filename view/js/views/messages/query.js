import { uiText } from "../../ui.js";
import { time } from "../../format.js";
import { now } from "../../live.js";
import { t } from "./text.js";
import { visibleLine } from "./visible.js";

/** @typedef {Record<string, string>} Params of the address: q, topic, status, from, to, range, cursor, live, as */
/** @typedef {{ topic?: string, status?: import("../../types.d.ts").Status, from?: number, to?: number }} Query */

export const STATUSES = /** @type {const} */ (["accepted", "not_consumed", "consumed"]);
export const RANGES = /** @type {const} */ (["15m", "1h", "today", "week"]);
const SECONDS = { "15m": 900, "1h": 3600, week: 7 * 86400 };

/** What "clear" takes away. */
export const NO_FILTERS = { q: null, topic: null, status: null, from: null, to: null, range: null, cursor: null };

/** @param {string} text @returns {string | null} the code in it, as the server writes it */
export function codeIn(text) {
  const code = text.trim().toLowerCase();
  return /^[0-9a-f]{40}$/.test(code) ? code : null;
}

/** A code ends with the time of its message. @param {string} code @returns {number} Unix seconds */
export const bornAt = (code) => parseInt(code.slice(32), 16);

/** @param {string | undefined} text */
const seconds = (text) => (text && /^\d{1,12}$/.test(text) ? Number(text) : undefined);

/** @param {Params} params @returns {typeof RANGES[number] | null} */
export const rangeOf = (params) => RANGES.find((one) => one === params.range) ?? null;

/** The filters as the server wants them; a quick range counts from now. @param {Params} params @returns {Query} */
export function queryOf(params) {
  const range = rangeOf(params);
  const at = Math.floor(now.peek());
  return {
    topic: params.topic || undefined,
    status: STATUSES.find((one) => one === params.status),
    from: range === "today" ? new Date(at * 1000).setHours(0, 0, 0, 0) / 1000 : range ? at - SECONDS[range] : seconds(params.from),
    to: range ? undefined : seconds(params.to),
  };
}

/** Two addresses with the same key list the same. @param {Params} params */
export const listKey = ({ q, topic, status, from, to, range, cursor }) => JSON.stringify([q, topic, status, from, to, range, cursor].map((one) => one || null));

/** The filters in use, in words, each with what takes it away. @param {Params} params @returns {{ name: string, what: string, without: Params | Record<string, null> }[]} */
export function filtersOf(params) {
  const { topic, status, from, to } = queryOf(params);
  const range = rangeOf(params);
  /** @type {ReturnType<typeof filtersOf>} */
  const list = [];
  if (params.q) list.push({ name: t("text"), what: visibleLine(params.q), without: { q: null } });
  if (topic) list.push({ name: t("topic"), what: visibleLine(topic), without: { topic: null } });
  if (status) list.push({ name: t("status"), what: uiText(status), without: { status: null } });
  if (range) list.push({ name: t("created"), what: t(range), without: { range: null } });
  else {
    if (from !== undefined) list.push({ name: t("from"), what: time(from), without: { from: null } });
    if (to !== undefined) list.push({ name: t("to"), what: time(to), without: { to: null } });
  }
  return list.map((one) => ({ ...one, without: { ...one.without, cursor: null } }));
}
