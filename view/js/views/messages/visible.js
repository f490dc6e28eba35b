/** What has no shape of its own, or changes that of others: controls, direction marks, invisible spaces. Tabs and line ends are none. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Letters that every font has: <00> as in a pager. @param {string} char */
function symbol(char) {
  const code = char.charCodeAt(0);
  return code < 0x80 ? `⟨${code.toString(16).toUpperCase().padStart(2, "0")}⟩` : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** Both ways to end a line are one. @param {string} text */
const marked = (text) => text.replaceAll("\r\n", "\n").replace(HIDDEN, symbol);

/** @param {string} text */
export const isBlank = (text) => text.trim() === "";

/** @param {string} text @returns {boolean} would {@link visible} change it? */
export const hasHidden = (text) => text.replaceAll("\r\n", "\n").search(HIDDEN) >= 0;

/** The text with its control characters as symbols; lines and tabs stay. Of nothing but white space, that is shown too. @param {string} text */
export const visible = (text) => (isBlank(text) ? marked(text).replaceAll(" ", "·").replaceAll("\t", "→").replaceAll("\n", "↵\n") : marked(text));

/** In one line: line ends and tabs are symbols too. @param {string} text */
export function visibleLine(text) {
  const shown = marked(text).replaceAll("\n", "↵").replaceAll("\t", "→");
  return isBlank(text) ? shown.replaceAll(" ", "·") : shown;
}

/** A name within a sentence: not too long, and its direction does not turn the rest. @param {string} name */
export const inSentence = (name) => `\u2068${visibleLine(name.length > 60 ? `${head(name, 60)}…` : name)}\u2069`;

/** Cuts without tearing a surrogate pair. @param {string} text @param {number} length */
export const head = (text, length) => text.slice(0, /[\uD800-\uDBFF]/.test(text[length - 1] ?? "") ? length - 1 : length);
