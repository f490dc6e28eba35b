/**
 * Reads JSON where it stands, so that what is shown is what was sent: numbers keep their digits, keys their order and
 * repetitions. Everything here expects a text that JSON.parse takes.
 */

/** A value, from `start` to before `end`, with its key as written. @typedef {{ name: string | null, start: number, end: number }} Part */

const BRACKETS = /["{}[\]]/g;
const SCALAR_END = /[\s,\]}]|$/g;

/** @param {string} text @returns {"container" | "scalar" | null} null: no JSON */
export function jsonKind(text) {
  try { JSON.parse(text); } catch { return null; }
  return "{[".includes(text[space(text, 0)]) ? "container" : "scalar";
}

/** @param {string} text @returns {Part} */
export function whole(text) {
  const start = space(text, 0);
  return { name: null, start, end: valueEnd(text, start) };
}

/** The values in an object or array: the first `most` of them, and how many there are. @param {string} text @param {number} start @param {number} most @returns {{ list: Part[], count: number }} */
export function partsOf(text, start, most) {
  /** @type {Part[]} */
  const list = [];
  let count = 0;
  for (let at = space(text, start + 1); !"}]".includes(text[at]); count++) {
    let name = null;
    if (text[start] === "{") {
      const end = stringEnd(text, at);
      if (count < most) name = text.slice(at, end);
      at = space(text, space(text, end) + 1);
    }
    const end = valueEnd(text, at);
    if (count < most) list.push({ name, start: at, end });
    at = space(text, end);
    if (text[at] === ",") at = space(text, at + 1);
  }
  return { list, count };
}

/** @param {string} text @param {number} at the first that is no white space */
function space(text, at) {
  while (" \t\n\r".includes(text[at] ?? "?")) at++;
  return at;
}

/** @param {string} text @param {number} at of its first quote */
function stringEnd(text, at) {
  for (;;) {
    at = text.indexOf("\"", at + 1);
    let before = at - 1;
    while (text[before] === "\\") before--;
    if ((at - before) % 2 === 1) return at + 1;
  }
}

/** @param {string} text @param {number} at */
function valueEnd(text, at) {
  if (text[at] === "\"") return stringEnd(text, at);
  if (!"{[".includes(text[at])) {
    SCALAR_END.lastIndex = at;
    return /** @type {RegExpExecArray} */ (SCALAR_END.exec(text)).index;
  }
  for (let depth = 0; ;) {
    BRACKETS.lastIndex = at;
    at = /** @type {RegExpExecArray} */ (BRACKETS.exec(text)).index;
    if (text[at] === "\"") at = stringEnd(text, at);
    else {
      depth += "{[".includes(text[at]) ? 1 : -1;
      at++;
      if (depth === 0) return at;
    }
  }
}
