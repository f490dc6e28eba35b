import { html } from "../html.js";
import { texts } from "../i18n.js";

const t = texts({
  en: { title: "Messages" },
  zh: { title: "消息" },
});

export default function Messages() {
  return html`<div class="view"><div class="view-head"><h1>${t("title")}</h1></div></div>`;
}
