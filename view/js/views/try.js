import { html } from "../html.js";
import { texts } from "../i18n.js";

const t = texts({
  en: { title: "Try it" },
  zh: { title: "试一试" },
});

export default function Try() {
  return html`<div class="view"><div class="view-head"><h1>${t("title")}</h1></div></div>`;
}
