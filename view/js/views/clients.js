import { html } from "../html.js";
import { texts } from "../i18n.js";

const t = texts({
  en: { title: "Clients" },
  zh: { title: "客户端" },
});

export default function Clients() {
  return html`<div class="view"><div class="view-head"><h1>${t("title")}</h1></div></div>`;
}
