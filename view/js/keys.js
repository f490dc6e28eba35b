import { html, signal, useEffect } from "./html.js";
import { texts } from "./i18n.js";
import { go } from "./router.js";
import { Dialog } from "./ui.js";

const t = texts({
  en: {
    title: "Keyboard", search: "Search in this view", help: "Show this help", goTo: "Go to {view}", then: "then",
    rows: "Move between rows", open: "Open the row", close: "Close a dialog",
    o: "Overview", t: "Topics", m: "Messages", c: "Clients", y: "Try it", s: "Settings", a: "About",
  },
  zh: {
    title: "键盘快捷键", search: "在当前页面中搜索", help: "显示快捷键", goTo: "转到{view}", then: "然后",
    rows: "在行之间移动", open: "打开所选行", close: "关闭对话框",
    o: "概览", t: "主题", m: "消息", c: "客户端", y: "调试", s: "配置", a: "关于",
  },
});

/** After `g`. */
const PLACES = /** @type {const} */ ({ o: "Overview", t: "Topics", m: "Messages", c: "Clients", y: "Try", s: "Config", a: "About" });
const GO_MS = 1500;

export const keyHelp = signal(false);

/** The keys that work everywhere, as long as nobody types. */
export function useKeys() {
  useEffect(() => {
    let goUntil = 0;
    /** @param {KeyboardEvent} event */
    function onKeyDown(event) {
      const target = /** @type {HTMLElement} */ (event.target);
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (target.closest("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
      const going = performance.now() < goUntil;
      goUntil = 0;
      if (going && event.key in PLACES) go(PLACES[/** @type {keyof typeof PLACES} */ (event.key)]);
      else if (event.key === "g") { goUntil = performance.now() + GO_MS; return; }
      else if (event.key === "?") keyHelp.value = true;
      else if (event.key === "/") {
        const search = /** @type {HTMLInputElement | null} */ (document.querySelector("main [data-search], main input[type=search]"));
        if (!search) return;
        search.focus();
        search.select?.();
      } else return;
      event.preventDefault();
    }
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}

export const KeyList = () => html`<dl class="keys">
  <dt><kbd>/</kbd></dt><dd>${t("search")}</dd>
  ${Object.keys(PLACES).map((letter) => html`<dt key=${letter}><kbd>g</kbd> <span class="quiet">${t("then")}</span> <kbd>${letter}</kbd></dt><dd>${t("goTo", { view: t(/** @type {keyof typeof PLACES} */ (letter)) })}</dd>`)}
  <dt><kbd>↑</kbd> <kbd>↓</kbd></dt><dd>${t("rows")}</dd>
  <dt><kbd>Enter</kbd></dt><dd>${t("open")}</dd>
  <dt><kbd>Esc</kbd></dt><dd>${t("close")}</dd>
  <dt><kbd>?</kbd></dt><dd>${t("help")}</dd>
</dl>`;

export const KeyHelp = () => keyHelp.value && html`<${Dialog} title=${t("title")} onClose=${() => { keyHelp.value = false; }}><${KeyList} /><//>`;
