import { html, useRef } from "../html.js";
import { Button } from "./basic.js";
import { Icon } from "./icons.js";
import { t } from "./text.js";

/** @typedef {import("./basic.js").Children} Children */

/**
 * @template R
 * @typedef {object} ColumnOf
 * @property {string} key
 * @property {string} label
 * @property {(row: R) => Children} render
 * @property {boolean} [numeric] right-aligned, digits of one width
 * @property {boolean} [secondary] not shown on narrow screens
 * @property {boolean} [cut] a name that may be long: one line, cut with an ellipsis (give the whole as `title`)
 * @property {boolean} [grow] takes the room that is left and cuts its text with an ellipsis
 * @property {boolean} [sortable] with the table's `onSort`
 */

/**
 * On narrow screens each row is a card with its labels. With `onOpen`, rows take the focus: arrows, Home and End move,
 * Enter or a click opens.
 * @template R
 * @param {{ caption: string, columns: ColumnOf<R>[], rows: R[], rowKey: (row: R) => string | number, onOpen?: (row: R) => void,
 *   rowClass?: (row: R) => string, sort?: { key: string, order: "asc" | "desc" }, onSort?: (key: string) => void, busy?: boolean }} props
 */
export function Table({ caption, columns, rows, rowKey, onOpen, rowClass, sort, onSort, busy }) {
  const body = useRef(/** @type {HTMLElement | null} */ (null));
  /** The row that Tab reaches: the last one that had the focus. */
  const current = useRef(/** @type {string | number | null} */ (null));
  const reached = rows.some((row) => rowKey(row) === current.current) ? current.current : rows.length ? rowKey(rows[0]) : null;

  /** @param {KeyboardEvent} event @param {R} row */
  function onKeyDown(event, row) {
    const at = /** @type {HTMLElement} */ (event.currentTarget);
    if (event.target !== at || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = /** @type {Record<string, Element | null | undefined>} */ ({
      ArrowDown: at.nextElementSibling, ArrowUp: at.previousElementSibling,
      Home: body.current?.firstElementChild, End: body.current?.lastElementChild,
    });
    if (event.key in move) /** @type {HTMLElement | null} */ (move[event.key])?.focus();
    else if (event.key === "Enter") onOpen?.(row);
    else return;
    event.preventDefault();
  }

  /** @param {MouseEvent} event @param {R} row */
  function onClick(event, row) {
    const target = /** @type {Element} */ (event.target);
    if (target.closest("a, button, input, select, label") || String(getSelection()) !== "") return;
    onOpen?.(row);
  }

  const classOf = (/** @type {ColumnOf<R>} */ column) => `${column.numeric ? "num" : ""} ${column.secondary ? "wide-only" : ""} ${column.cut ? "cut-cell" : ""} ${column.grow ? "grow" : ""}`;

  return html`<div class="table-box" aria-busy=${busy ? "true" : undefined}><table class="table stack">
    <caption class="sr-only">${caption}</caption>
    <thead><tr>${columns.map((column) => {
      const order = sort?.key === column.key ? sort.order : null;
      return html`<th key=${column.key} scope="col" class=${classOf(column)} aria-sort=${order ? (order === "asc" ? "ascending" : "descending") : undefined}>
        ${column.sortable && onSort ? html`<button type="button" class="sort" title=${t("sortBy", { column: column.label })} onClick=${() => onSort(column.key)}>
          ${column.label}${order && html`<${Icon} name=${order === "asc" ? "up" : "down"} size=${12} />`}</button>` : column.label}</th>`;
    })}</tr></thead>
    <tbody ref=${body}>${rows.map((row) => html`<tr key=${rowKey(row)} class="${rowClass?.(row) ?? ""} ${onOpen ? "opens" : ""}"
      ...${onOpen && {
        tabIndex: rowKey(row) === reached ? 0 : -1,
        onKeyDown: (/** @type {KeyboardEvent} */ event) => onKeyDown(event, row),
        onClick: (/** @type {MouseEvent} */ event) => onClick(event, row),
        onFocus: () => { current.current = rowKey(row); },
      }}>
      ${columns.map((column) => html`<td key=${column.key} data-label=${column.label} class=${classOf(column)}>${column.render(row)}</td>`)}</tr>`)}
    </tbody></table></div>`;
}

/**
 * Pages by cursor: to the next, and back to the first. What is not possible is null.
 * @param {{ onFirst: (() => void) | null, onNext: (() => void) | null, busy?: boolean, children?: Children }} props
 *   `children`: "50 of 1,200"
 */
export const Pager = ({ onFirst, onNext, busy, children }) => html`<div class="pager"><span class="quiet">${children}</span>
  <${Button} small icon="first" disabled=${!onFirst || busy} onClick=${onFirst}>${t("first")}<//>
  <${Button} small icon="next" disabled=${!onNext || busy} onClick=${onNext}>${t("next")}<//></div>`;
