import { html } from "../../html.js";

/**
 * What a browser shows as nothing, or takes as an order to turn the text round: control characters, spaces without
 * width, directions. The joiners of emoji and of Persian (U+200C, U+200D) stay.
 */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const SHORT = /** @type {Record<string, string>} */ ({ "\n": "\\n", "\r": "\\r", "\t": "\\t" });

/** As a programmer writes it: every font has that. @param {string} character */
const sign = (character) => SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * The text with signs for what cannot be seen. With `lines`, line ends and tabs stay what they are.
 * @param {string} text @param {{ lines?: boolean }} [options] @returns {import("../../ui/basic.js").Children}
 */
export function visible(text, { lines = false } = {}) {
  /** @type {any[]} */
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (lines && (found[0] === "\n" || found[0] === "\t")) continue;
    parts.push(text.slice(from, found.index), html`<span class="unseen">${sign(found[0])}</span>`);
    from = found.index + found[0].length;
  }
  return parts.length ? [...parts, text.slice(from)] : text;
}

/** The same where only text can be: in a toast, a tooltip, the name of a control. @param {string} text */
export const isolated = (text) => `\u2068${text.replace(UNSEEN, sign)}\u2069`;

/** A name that clients chose: by itself whatever its direction, on one line. @param {{ text: string, wrap?: boolean }} props `wrap`: on as many as it needs */
export const Name = ({ text, wrap }) => html`<bdi class="name ${wrap ? "wrap" : ""}" title=${wrap ? undefined : isolated(text)}>${visible(text)}</bdi>`;
