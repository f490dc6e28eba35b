import { html } from "../html.js";
import { ApiError } from "../api.js";
import { Button } from "./basic.js";
import { Icon } from "./icons.js";
import { t } from "./text.js";

/** @typedef {import("./basic.js").Children} Children */

/** Nothing to show, and what to do about it. @param {{ title: Children, icon?: import("./icons.js").IconName, children?: Children }} props */
export const Empty = ({ title, icon = "inbox", children }) => html`<div class="empty"><${Icon} name=${icon} size=${28} />
  <p class="empty-title">${title}</p>${children && html`<div class="quiet">${children}</div>`}</div>`;

/** The shape of what is coming. @param {{ lines?: number, label?: string }} props */
export const Loading = ({ lines = 4, label }) => html`<div class="loading" aria-busy="true"><span class="sr-only">${label ?? t("loading")}</span>
  ${Array.from({ length: lines }, (_, i) => html`<div class="skeleton" key=${i}></div>`)}</div>`;

/** @param {unknown} error @returns {{ what: string, hint: string, detail: string }} */
export function explain(error) {
  const detail = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ApiError)) return { what: t("broken"), hint: t("brokenHint"), detail };
  if (error.status === 0) return { what: t("unreachable"), hint: t("unreachableHint"), detail: "" };
  if (error.status === 403) return { what: t("notAllowed"), hint: t("notAllowedHint"), detail };
  if (error.status === 404) return { what: t("notFound"), hint: t("notFoundHint"), detail };
  if (error.status === 409) return { what: t("conflict"), hint: t("conflictHint"), detail };
  if (error.status >= 500) return { what: t("unavailable"), hint: t("unavailableHint"), detail };
  return { what: t("refused"), hint: t("refusedHint"), detail };
}

/** @param {{ error: unknown, what?: string, onRetry?: () => void }} props `what` says in words of the view what failed */
export function ErrorState({ error, what, onRetry }) {
  const told = explain(error);
  return html`<div class="error-state" role="alert"><${Icon} name="warn" size=${20} />
    <div><p class="error-title">${what ?? told.what}</p><p>${what ? `${told.what} ` : ""}${told.hint}</p>
      ${told.detail && html`<p class="quiet break"><code>${told.detail}</code></p>`}
      ${onRetry && html`<${Button} icon="refresh" small onClick=${onRetry}>${t("retry")}<//>`}</div></div>`;
}
