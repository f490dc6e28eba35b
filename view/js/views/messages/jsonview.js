import { html, useMemo, useState } from "../../html.js";
import { bytes } from "../../format.js";
import { Button, Icon } from "../../ui.js";
import { partsOf, whole } from "./json.js";
import { t } from "./text.js";
import { head, visible } from "./visible.js";

/** @typedef {import("./json.js").Part} Part */

/** Values up to this length stand open, down to so many levels. */
const OPEN_LENGTH = 2000, OPEN_DEPTH = 8;
const AT_ONCE = 100;
const STRING_LENGTH = 2000;

/** @param {{ text: string }} props */
export function JsonView({ text }) {
  const part = useMemo(() => whole(text), [text]);
  return html`<div class="json mono"><${Value} text=${text} part=${part} depth=${0} last /></div>`;
}

/** @param {{ text: string, part: Part, depth: number, last: boolean }} props */
const Value = (props) => ("{[".includes(props.text[props.part.start]) ? html`<${Container} ...${props} />` : html`<${Scalar} ...${props} />`);

/** @param {{ name: string | null }} props */
const Name = ({ name }) => name !== null && html`<span class="json-key"><bdi>${readable(name)}</bdi></span>: `;

/** @param {{ text: string, part: Part, depth: number, last: boolean }} props */
function Container({ text, part, depth, last }) {
  const [open, setOpen] = useState(depth === 0 || (depth < OPEN_DEPTH && part.end - part.start <= OPEN_LENGTH));
  const [most, setMost] = useState(AT_ONCE);
  const { list, count } = useMemo(() => partsOf(text, part.start, most), [text, part.start, most]);
  const [before, after] = [text[part.start], `${text[part.end - 1]}${last ? "" : ","}`];
  const left = count - list.length;
  if (!count) return html`<div class="json-line"><${Name} name=${part.name} />${before}${after}</div>`;
  return html`<div class="json-line"><button type="button" class="json-fold" aria-expanded=${open ? "true" : "false"} onClick=${() => setOpen(!open)}>
      <${Icon} name=${open ? "down" : "next"} size=${10} /><${Name} name=${part.name} />${before}${!open && html`<span class="json-count">${t("entries", { n: count })}</span>${after}`}</button></div>
    ${open && html`<div class="json-inside">${list.map((one, i) => html`<${Value} key=${one.start} text=${text} part=${one} depth=${depth + 1} last=${i === count - 1} />`)}
      ${left > 0 && html`<${Button} small onClick=${() => setMost(most * 4)}>${t("moreEntries", { n: Math.min(left, most * 3), left })}<//>`}</div>
    <div class="json-line">${after}</div>`}`;
}

/** @param {{ text: string, part: Part, last: boolean }} props */
function Scalar({ text, part, last }) {
  const [all, setAll] = useState(false);
  const source = text.slice(part.start, part.end);
  const isText = source[0] === "\"";
  const cut = !all && source.length > STRING_LENGTH;
  const kind = isText ? "json-text" : /^[-\d]/.test(source) ? "json-number" : "json-word";
  const start = cut ? head(source, STRING_LENGTH) : source;
  const shown = !isText ? start : cut ? visible(`${start}…`) : readable(source);
  return html`<div class="json-line"><${Name} name=${part.name} /><span class=${kind}><bdi>${shown}</bdi></span>${last ? "" : ","}
    ${cut && html` <${Button} small onClick=${() => setAll(true)}>${t("wholeString", { size: bytes(source.length) })}<//>`}</div>`;
}

/** Letters that were written as \uXXXX are shown as letters; what has to be escaped stays so. @param {string} source of a string, with its quotes */
const readable = (source) => visible(source.includes("\\u") ? JSON.stringify(JSON.parse(source)) : source);
