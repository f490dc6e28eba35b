import { html, useEffect, useState } from "../html.js";
import { relative, time } from "../format.js";
import { now } from "../live.js";
import { Icon } from "./icons.js";
import { t } from "./text.js";
import { toast } from "./toasts.js";

/** @typedef {import("../../vendor/preact.js").ComponentChildren} Children */
/** @typedef {import("./icons.js").IconName} IconName */

/**
 * Further properties (`onClick`, `disabled`, `aria-…`) go to the `<button>`; with `href` it is a link that looks like one.
 * @param {{ kind?: "plain" | "primary" | "danger" | "quiet", small?: boolean, icon?: IconName, busy?: boolean,
 *   disabled?: boolean, class?: string, href?: string, children?: Children, [more: string]: unknown }} props
 */
export function Button({ kind = "plain", small, icon, busy, disabled, class: extra = "", href, children, ...more }) {
  const look = `button ${kind} ${small ? "small" : ""} ${extra}`;
  const inside = html`${icon && html`<${Icon} name=${icon} />`}<span>${children}</span>`;
  return href ? html`<a class=${look} href=${href} ...${more}>${inside}</a>`
    : html`<button type="button" class=${look} disabled=${disabled || busy} aria-busy=${busy ? "true" : undefined} ...${more}>${inside}</button>`;
}

/** A button of an icon only; its label is its name and tooltip. @param {{ icon: IconName, label: string, class?: string, [more: string]: unknown }} props */
export const IconButton = ({ icon, label, class: extra = "", ...more }) => html`
  <button type="button" class="icon-button ${extra}" aria-label=${label} title=${label} ...${more}><${Icon} name=${icon} /></button>`;

/** @param {{ title?: Children, actions?: Children, level?: 2 | 3, class?: string, children?: Children, [more: string]: unknown }} props */
export function Card({ title, actions, level = 2, class: extra = "", children, ...more }) {
  return html`<section class="card ${extra}" ...${more}>
    ${(title || actions) && html`<header class="card-head">${title && html`<${`h${level}`}>${title}<//>`}
      ${actions && html`<div class="actions">${actions}</div>`}</header>`}
    ${children}
  </section>`;
}

/** One number with its name. Put several in `<dl class="stats">`. @param {{ label: Children, value: Children, hint?: Children, tone?: "good" | "warn" | "bad", href?: string }} props */
export const Stat = ({ label, value, hint, tone, href }) => html`
  <div class="stat ${tone ?? ""}"><dt>${label}</dt><dd class="value">${href ? html`<a href=${href}>${value}</a>` : value}</dd>
  ${hint && html`<dd class="hint">${hint}</dd>`}</div>`;

/** @param {{ tone?: "neutral" | "good" | "warn" | "bad" | "info", children?: Children, [more: string]: unknown }} props */
export const Tag = ({ tone = "neutral", children, ...more }) => html`<span class="tag ${tone}" ...${more}>${children}</span>`;

const TONES = /** @type {const} */ ({ accepted: "info", not_consumed: "warn", consumed: "good" });

/** @param {{ status: import("../types.d.ts").Status }} props */
export const StatusTag = ({ status }) => html`<${Tag} tone=${TONES[status]}>${t(status)}<//>`;

/** "3 min. ago", kept true, with the exact time as tooltip. @param {{ at: number }} props Unix seconds */
export const Ago = ({ at }) => html`<time dateTime=${new Date(at * 1000).toISOString()} title=${time(at)}>${relative(at, now.value)}</time>`;

/** @param {string} text @returns {Promise<boolean>} */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* plain http has no clipboard: the old way below */ }
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "sr-only";
  // A modal dialog makes everything outside of it inert: the text has to be in it to be selected.
  (before?.closest("dialog") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/** @param {{ text: string | (() => string), label?: string, withText?: boolean }} props `withText` shows the label beside the icon */
export function CopyButton({ text, label, withText }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async (/** @type {Event} */ event) => {
    event.stopPropagation();
    if (await copyText(typeof text === "function" ? text() : text)) { setDone(true); toast(t("copied")); } else toast(t("copyFailed"), "error");
  };
  const icon = done ? "check" : "copy";
  return withText ? html`<${Button} icon=${icon} small onClick=${copy}>${label ?? t("copy")}<//>`
    : html`<${IconButton} icon=${icon} label=${label ?? t("copy")} onClick=${copy} />`;
}
