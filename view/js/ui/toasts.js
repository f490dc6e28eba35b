import { html, signal } from "../html.js";
import { Icon } from "./icons.js";
import { t } from "./text.js";

/** @typedef {{ id: number, text: string, kind: "ok" | "error" }} Toast */
/** @type {import("../../vendor/signals.js").Signal<Toast[]>} */
const toasts = signal([]);
let count = 0;

/** Tells shortly what was done, or failed. @param {string} text @param {"ok" | "error"} [kind] */
export function toast(text, kind = "ok") {
  const id = ++count;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
  setTimeout(() => dismiss(id), kind === "ok" ? 4000 : 12000);
}

/** @param {number} id */
const dismiss = (id) => { toasts.value = toasts.value.filter((one) => one.id !== id); };

/** Once, in the shell. */
export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">
  ${toasts.value.map(({ id, text, kind }) => html`<div class="toast ${kind}" key=${id}><${Icon} name=${kind === "ok" ? "check" : "warn"} /><span>${text}</span>
    <button type="button" class="icon-button" aria-label=${t("dismiss")} onClick=${() => dismiss(id)}><${Icon} name="close" size=${14} /></button></div>`)}
</div>`;
