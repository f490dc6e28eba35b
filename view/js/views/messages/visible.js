/** What has no shape of its own, or changes that of others: controls, direction marks, invisible spaces. Tabs and line ends are none. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** @param {string} char */
function symbol(char) {
  const at = char.charCodeAt(0);
  if (at < 0x20) return String.fromCharCode(0x2400 + at);
  return at === 0x7f ? "␡" : `⟨U+${at.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** @param {string} text */
export const isBlank = (text) => text.trim() === "";

/** @param {string} text @returns {boolean} would {@link visible} change it? */
export const hasHidden = (text) => text.search(HIDDEN) >= 0;

/** The text with its control characters as symbols; lines and tabs stay. Of nothing but white space, that is shown too. @param {string} text */
export function visible(text) {
  const shown = text.replace(HIDDEN, symbol);
  return isBlank(text) ? shown.replaceAll(" ", "␠").replaceAll("\t", "␉").replaceAll("\n", "␊\n") : shown;
}

/** In one line: line ends and tabs are symbols too. @param {string} text */
export function visibleLine(text) {
  const shown = text.replace(HIDDEN, symbol).replaceAll("\n", "↵").replaceAll("\t", "⇥");
  return isBlank(text) ? shown.replaceAll(" ", "␠") : shown;
}

/** Cuts without tearing a surrogate pair. @param {string} text @param {number} length */
export const head = (text, length) => text.slice(0, /[\uD800-\uDBFF]/.test(text[length - 1] ?? "") ? length - 1 : length);
