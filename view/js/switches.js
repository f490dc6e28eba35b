import { html } from "./html.js";
import { lang, setLang, texts } from "./i18n.js";
import { setTheme, theme } from "./theme.js";
import { IconButton } from "./ui.js";

const t = texts({
  en: { system: "Colours: as the system. Change to light", light: "Colours: light. Change to dark", dark: "Colours: dark. Change to the system’s" },
  zh: { system: "配色：跟随系统。切换为浅色", light: "配色：浅色。切换为深色", dark: "配色：深色。切换为跟随系统" },
});

/** Names the other language in that language. */
export const LangSwitch = () => lang.value === "zh"
  ? html`<button type="button" class="button quiet small" lang="en" onClick=${() => setLang("en")}>English</button>`
  : html`<button type="button" class="button quiet small" lang="zh-CN" onClick=${() => setLang("zh")}>中文</button>`;

const LOOK = /** @type {const} */ ({ system: ["system", "light"], light: ["sun", "dark"], dark: ["moon", "system"] });

export function ThemeSwitch() {
  const [icon, next] = LOOK[theme.value];
  return html`<${IconButton} icon=${icon} label=${t(theme.value)} onClick=${() => setTheme(next)} />`;
}
