import { signal } from "../vendor/signals.js";

/** @typedef {"Overview" | "Topics" | "Messages" | "Clients" | "Try" | "Config" | "About"} View */
/** @typedef {{ view: View, id: string | null, params: Record<string, string> }} Route */
/** @typedef {Record<string, string | number | null | undefined>} Params what is null, undefined or "" is left out */

/** @type {View[]} */
export const VIEWS = ["Overview", "Topics", "Messages", "Clients", "Try", "Config", "About"];

/** Where the page is: all of it is in the address, so that it can be linked and reloaded. */
export const route = signal(parse(location.hash));
addEventListener("hashchange", () => { route.value = parse(location.hash); });

/** `Console` was the page of the original DPMQ; what is unknown is the overview too. @param {string} hash @returns {Route} */
export function parse(hash) {
  const text = hash.replace(/^#?\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const [name, ...rest] = path.split("/");
  const view = VIEWS.find((one) => one.toLowerCase() === name.toLowerCase()) ?? "Overview";
  const id = rest.join("/");
  return { view, id: id ? decode(id) : null, params: Object.fromEntries(new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1))) };
}

/** @param {View} view @param {string | null} [id] @param {Params} [params] */
export function href(view, id, params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {}))
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return `#/${view}${id ? `/${encodeURIComponent(wellFormed(id))}` : ""}${text ? `?${text}` : ""}`;
}

/** @param {View} view @param {string | null} [id] @param {Params} [params] @param {{ replace?: boolean }} [options] */
export function go(view, id, params, { replace = false } = {}) {
  const target = href(view, id, params);
  if (target === location.hash) return;
  if (replace) history.replaceState(history.state, "", target);
  else history.pushState(null, "", target);
  route.value = parse(target);
}

/** Changes the filters of the view that is shown. @param {Params} patch @param {{ replace?: boolean }} [options] */
export function setParams(patch, options) {
  const { view, id, params } = route.peek();
  go(view, id, { ...params, ...patch }, options);
}

/** An address typed by hand may hold a `%` that stands for itself. @param {string} text */
function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** Half of a surrogate pair would make encodeURIComponent throw. @param {string} text */
const wellFormed = (text) => text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
