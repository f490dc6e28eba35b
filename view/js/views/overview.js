import { html } from "../html.js";
import { texts } from "../i18n.js";

const t = texts({
  en: { title: "Overview" },
  zh: { title: "概览" },
});

export default function Overview() {
  return html`<div class="view"><div class="view-head"><h1>${t("title")}</h1></div></div>`;
}
