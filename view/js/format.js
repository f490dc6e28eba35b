import { locale, lang } from "./i18n.js";

/** Formatters are costly to make: one of each kind and language. @type {Map<string, any>} */
const made = new Map();

/** @template T @param {string} name @param {(locale: string) => T} make @returns {T} */
function formatter(name, make) {
  const id = `${locale()} ${name}`;
  if (!made.has(id)) made.set(id, make(locale()));
  return made.get(id);
}

/** @param {number} n @param {number} [digits] at most so many after the point */
export const number = (n, digits = 0) =>
  formatter(`number ${digits}`, (l) => new Intl.NumberFormat(l, { maximumFractionDigits: digits })).format(n);

/** 1.2M, 120万 @param {number} n */
export const compact = (n) => Math.abs(n) < 10000 ? number(n, Math.abs(n) < 10 ? 1 : 0)
  : formatter("compact", (l) => new Intl.NumberFormat(l, { notation: "compact", maximumFractionDigits: 1 })).format(n);

/** 0.12 → 12% @param {number} part */
export const percent = (part) =>
  formatter("percent", (l) => new Intl.NumberFormat(l, { style: "percent", maximumFractionDigits: 1 })).format(part);

/** 1.5 MiB @param {number} n */
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (Math.abs(n) >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
  return `${number(n, unit === 0 || n >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** 12.3/s, 12.3/秒 @param {number} n */
export const rate = (n) => `${n !== 0 && Math.abs(n) < 0.01 ? "<0.01" : number(n, Math.abs(n) < 10 ? 2 : Math.abs(n) < 1000 ? 1 : 0)}${lang.value === "zh" ? "/秒" : "/s"}`;

/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const SHAPES = {
  full: { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  minute: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  day: { month: "short", day: "numeric" },
  date: { year: "numeric", month: "short", day: "numeric" },
};

/**
 * A time in the browser's zone.
 * @param {number} unix seconds
 * @param {"full" | "time" | "minute" | "day" | "date"} [shape]
 */
export const time = (unix, shape = "full") =>
  shape === "full" ? toLocalInput(unix).replace("T", " ")
    : formatter(shape, (l) => new Intl.DateTimeFormat(l, SHAPES[shape])).format(unix * 1000);

/** With milliseconds. @param {number} ms Unix milliseconds */
export const timeMs = (ms) => `${time(ms / 1000)}.${String(Math.floor(ms) % 1000).padStart(3, "0")}`;

/** "Europe/Berlin (UTC+2)" */
export function zoneName() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const offset = -new Date().getTimezoneOffset();
  const minutes = Math.abs(offset) % 60;
  const utc = `UTC${offset < 0 ? "−" : "+"}${Math.floor(Math.abs(offset) / 60)}${minutes ? `:${String(minutes).padStart(2, "0")}` : ""}`;
  return timeZone && timeZone !== "UTC" ? `${timeZone} (${utc})` : offset ? utc : "UTC";
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** How far away, in whole units of so many seconds. @param {number} seconds @param {number} size */
const rounded = (seconds, size) => Math.round(Math.abs(seconds) / size) * size;

/** "3 min. ago", "3分钟前" @param {number} unix @param {number} now seconds, both */
export function relative(unix, now) {
  const seconds = Math.round(unix - now);
  // By what it is when rounded: 2 d 23 h are 3 days, and 23 h 40 min are 1.
  const [unit, size] = UNITS.find(([, size], i) => rounded(seconds, UNITS[i + 1]?.[1] ?? 1) >= size) ?? ["second", 1];
  const numeric = unit === "second" ? "auto" : "always";
  return formatter(`relative ${numeric}`, (l) => new Intl.RelativeTimeFormat(l, { numeric, style: "short" }))
    .format(Math.round(seconds / size), unit);
}

/** "2 d 3 h", "45 s", "120 ms" @param {number} seconds */
export function duration(seconds) {
  const names = lang.value === "zh" ? { d: "天", h: "小时", m: "分钟", s: "秒", ms: "毫秒" } : { d: "d", h: "h", m: "min", s: "s", ms: "ms" };
  if (seconds > 0 && seconds < 1) return `${number(seconds * 1000)} ${names.ms}`;
  const whole = Math.max(0, Math.floor(seconds));
  const parts = /** @type {[number, string][]} */ ([[Math.floor(whole / 86400), names.d], [Math.floor(whole / 3600) % 24, names.h],
    [Math.floor(whole / 60) % 60, names.m], [whole % 60, names.s]]);
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return `0 ${names.s}`;
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, name]) => `${number(n)} ${name}`).join(" ");
}

/** For `<input type="datetime-local" step="1">`. @param {number | null | undefined} unix */
export function toLocalInput(unix) {
  if (unix === null || unix === undefined || !Number.isFinite(unix)) return "";
  const at = new Date(unix * 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** @param {string} text @returns {number | null} Unix seconds */
export function fromLocalInput(text) {
  const ms = text ? new Date(text).getTime() : NaN;
  return Number.isNaN(ms) ? null : Math.floor(ms / 1000);
}

/** For comparing without case: unlike lower case it is the same whatever stands beside a letter. @param {string} text */
export const caseless = (text) => text.toUpperCase();
