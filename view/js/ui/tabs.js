import { html, useId, useRef } from "../html.js";

/** @typedef {import("./basic.js").Children} Children */

/** @param {{ label: string, tabs: { id: string, label: Children }[], selected: string, onSelect: (id: string) => void, children?: Children }} props `children`: the selected one's panel */
export function Tabs({ label, tabs, selected, onSelect, children }) {
  const base = useId();
  const list = useRef(/** @type {HTMLElement | null} */ (null));

  /** @param {KeyboardEvent} event */
  function onKeyDown(event) {
    const at = tabs.findIndex((one) => one.id === selected);
    const to = /** @type {Record<string, number>} */ ({ ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 })[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = (to + tabs.length) % tabs.length;
    onSelect(tabs[index].id);
    /** @type {HTMLElement | undefined} */ (list.current?.children[index])?.focus();
  }

  return html`<div class="tabs"><div ref=${list} class="tab-list" role="tablist" aria-label=${label} onKeyDown=${onKeyDown}>
    ${tabs.map((one) => html`<button type="button" key=${one.id} role="tab" id="${base}-${one.id}" aria-controls=${one.id === selected ? `${base}-panel` : undefined}
      aria-selected=${one.id === selected ? "true" : "false"} tabIndex=${one.id === selected ? 0 : -1} onClick=${() => onSelect(one.id)}>${one.label}</button>`)}</div>
    <div role="tabpanel" id="${base}-panel" aria-labelledby="${base}-${selected}" tabIndex=${0}>${children}</div></div>`;
}
