import { html } from "../html.js";
import { texts } from "../i18n.js";

const t = texts({
  en: { title: "Topics" },
  zh: { title: "主题" },
});

export default function Topics() {
  return html`<div class="view"><div class="view-head"><h1>${t("title")}</h1></div></div>`;
}
