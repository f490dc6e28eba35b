import { html, useLayoutEffect, useRef, useSignal, useState } from "../html.js";
import { go, route } from "../router.js";
import { Button } from "../ui.js";
import { Detail } from "./messages/detail.js";
import { Export } from "./messages/export.js";
import { Filters } from "./messages/filters.js";
import { Found } from "./messages/found.js";
import { Newest } from "./messages/list.js";
import { t } from "./messages/text.js";

/** @typedef {import("../types.d.ts").MessageRow} MessageRow */

export default function Messages() {
  const { view, id, params } = route.value;
  const shown = useSignal(/** @type {MessageRow[]} */ ([]));
  /** Deleted here: they do not wait for the next answer to go. */
  const gone = useSignal(/** @type {string[]} */ ([]));
  const [exporting, setExporting] = useState(false);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  usePlace(list, id !== null);
  if (view !== "Messages") return null;

  return html`<div class="view messages ${id !== null ? "open" : ""}">
    <div class="view-head"><h1>${t("title")}</h1><div class="actions"><${Button} icon="download" onClick=${() => setExporting(true)}>${t("export")}<//></div></div>
    <div class="messages-list" ref=${list}><${Filters} params=${params} />
      ${params.q ? html`<${Found} params=${params} shown=${shown} gone=${gone} />` : html`<${Newest} params=${params} shown=${shown} gone=${gone} />`}</div>
    ${id !== null && html`<${Detail} id=${id} params=${params} shown=${shown}
      onGone=${(/** @type {string} */ code) => { gone.value = [...gone.value, code]; if (route.peek().id === code) go("Messages", null, params, { replace: true }); }} />`}
    ${exporting && html`<${Export} params=${params} onClose=${() => setExporting(false)} />`}
  </div>`;
}

/**
 * A message opens beside the list, or on small screens instead of it: the row that the reader is at keeps its place.
 * @param {{ current: HTMLElement | null }} list @param {boolean} open
 */
function usePlace(list, open) {
  const place = useRef({ open, scroll: 0, row: /** @type {HTMLElement | null} */ (null), top: 0 });
  const hidden = () => list.current?.offsetParent === null;
  if (place.current.open !== open) {
    const row = /** @type {HTMLElement | null} */ (list.current?.querySelector("tr.selected, tr:focus") ?? null);
    const top = hidden() ? 0 : row?.getBoundingClientRect().top ?? 0;
    place.current = { open, scroll: hidden() ? place.current.scroll : scrollY, row, top };
  }
  useLayoutEffect(() => {
    const { scroll, row, top } = place.current;
    if (hidden()) return scrollTo(0, 0);
    if (top && row) scrollBy(0, row.getBoundingClientRect().top - top);
    else if (!open) scrollTo(0, scroll);
    if (!open && document.activeElement === document.body) row?.focus({ preventScroll: true });
  }, [open]);
}
