import { html, useId } from "../html.js";

/** @typedef {import("./basic.js").Children} Children */

/**
 * A label with its control; `children` gets the id and description to put on the control.
 * @param {{ label: Children, hint?: Children, error?: Children, class?: string, children: (props: { id: string, "aria-describedby"?: string, "aria-invalid"?: "true" }) => Children }} props
 */
export function Field({ label, hint, error, class: extra = "", children }) {
  const id = useId();
  const described = error || hint ? `${id}-more` : undefined;
  return html`<div class="field ${extra}"><label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": described, "aria-invalid": error ? "true" : undefined })}
    ${described && html`<p id=${described} class=${error ? "field-error" : "field-hint"}>${error || hint}</p>`}</div>`;
}

/** @typedef {{ label: Children, hint?: Children, error?: Children, value?: string, onValue?: (value: string) => void, fieldClass?: string, class?: string, [more: string]: unknown }} ControlProps */

/** A labelled `<input>`; further properties go to it. `onValue` gets the text with each change. @param {ControlProps} props */
export const Input = ({ label, hint, error, value, onValue, fieldClass, class: extra = "", ...more }) => html`
  <${Field} label=${label} hint=${hint} error=${error} class=${fieldClass}>${(/** @type {object} */ wiring) => html`<input class="input ${extra}"
    value=${value} onInput=${(/** @type {any} */ event) => onValue?.(event.currentTarget.value)} ...${wiring} ...${more} />`}<//>`;

/** A labelled `<textarea>`. @param {ControlProps} props */
export const TextArea = ({ label, hint, error, value, onValue, fieldClass, class: extra = "", ...more }) => html`
  <${Field} label=${label} hint=${hint} error=${error} class=${fieldClass}>${(/** @type {object} */ wiring) => html`<textarea class="input ${extra}"
    value=${value} onInput=${(/** @type {any} */ event) => onValue?.(event.currentTarget.value)} ...${wiring} ...${more}></textarea>`}<//>`;

/** A labelled `<select>`. @param {ControlProps & { options: { value: string, label: string }[] }} props */
export const Select = ({ label, hint, error, value, onValue, options, fieldClass, class: extra = "", ...more }) => html`
  <${Field} label=${label} hint=${hint} error=${error} class=${fieldClass}>${(/** @type {object} */ wiring) => html`<select class="input ${extra}"
    onChange=${(/** @type {any} */ event) => onValue?.(event.currentTarget.value)} ...${wiring} ...${more}>
    ${options.map((one) => html`<option key=${one.value} value=${one.value} selected=${one.value === value}>${one.label}</option>`)}</select>`}<//>`;

/** @param {{ label: Children, checked: boolean, onChecked: (checked: boolean) => void, hint?: Children, [more: string]: unknown }} props */
export function Checkbox({ label, checked, onChecked, hint, ...more }) {
  const id = useId();
  return html`<div class="check"><input id=${id} type="checkbox" checked=${checked}
    onChange=${(/** @type {any} */ event) => onChecked(event.currentTarget.checked)} aria-describedby=${hint ? `${id}-more` : undefined} ...${more} />
    <label for=${id}>${label}</label>${hint && html`<p id="${id}-more" class="field-hint">${hint}</p>`}</div>`;
}

/**
 * A few choices beside each other, one of them pressed. `disabled` is the reason why an option cannot be chosen.
 * @param {{ label: string, value: string, options: { value: string, label: Children, disabled?: string }[],
 *   onValue: (value: string) => void }} props
 */
export const Segments = ({ label, value, options, onValue }) => html`<div class="segments" role="group" aria-label=${label}>
  ${options.map((one) => html`<button type="button" key=${one.value} aria-pressed=${one.value === value ? "true" : "false"}
    aria-disabled=${one.disabled ? "true" : undefined} title=${one.disabled} onClick=${() => { if (!one.disabled) onValue(one.value); }}>${one.label}</button>`)}</div>`;
