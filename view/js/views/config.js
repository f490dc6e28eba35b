import { html } from "../html.js";
import { texts } from "../i18n.js";

const t = texts({
  en: { title: "Configuration" },
  zh: { title: "配置" },
});

export default function Config() {
  return html`<div class="view"><div class="view-head"><h1>${t("title")}</h1></div></div>`;
}
