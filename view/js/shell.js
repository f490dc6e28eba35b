import { Component, html, useEffect, useRef, useState } from "./html.js";
import { logout } from "./api.js";
import { zoneName } from "./format.js";
import { texts } from "./i18n.js";
import { KeyHelp, keyHelp, useKeys } from "./keys.js";
import { connection } from "./live.js";
import { href, route, VIEWS } from "./router.js";
import { LangSwitch, ThemeSwitch } from "./switches.js";
import { Confirm, ErrorState, Icon, IconButton, Loading, Toasts } from "./ui.js";

const t = texts({
  en: {
    Overview: "Overview", Topics: "Topics", Messages: "Messages", Clients: "Clients", Try: "Try it", Config: "Configuration", About: "About",
    online: "Connected", connecting: "Connecting…", offline: "Disconnected",
    offlineNote: "The server does not answer. The page may show old values; it updates by itself once the server answers.",
    skip: "Skip to the content", nav: "Views", menu: "Menu", zone: "Times in {zone}", keys: "Keyboard (?)", logout: "Log out", server: "Server",
  },
  zh: {
    Overview: "概览", Topics: "主题", Messages: "消息", Clients: "客户端", Try: "调试", Config: "配置", About: "关于",
    online: "已连接", connecting: "连接中…", offline: "连接已断开", offlineNote: "服务器没有响应，所示内容可能已过时；恢复后页面会自动继续。",
    skip: "跳到正文", nav: "页面", menu: "菜单", zone: "时区：{zone}", keys: "快捷键 (?)", logout: "退出登录", server: "服务器",
  },
});

/** @type {Record<import("./router.js").View, import("./ui/icons.js").IconName>} */
const ICONS = { Overview: "overview", Topics: "topics", Messages: "messages", Clients: "clients", Try: "try", Config: "config", About: "about" };

/** Each view is loaded by itself, so that a broken one breaks nothing else. @type {Record<import("./router.js").View, () => Promise<{ default: unknown }>>} */
const LOAD = {
  Overview: () => import("./views/overview.js"),
  Topics: () => import("./views/topics.js"),
  Messages: () => import("./views/messages.js"),
  Clients: () => import("./views/clients.js"),
  Try: () => import("./views/try.js"),
  Config: () => import("./views/config.js"),
  About: () => import("./views/about.js"),
};

export function Shell() {
  useKeys();
  const [menu, setMenu] = useState(false);
  const { view, id } = route.value;
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => setMenu(false), [view, id]);
  useEffect(() => { document.title = `${id ? `${id} · ` : ""}${t(view)} · DPMQ`; });
  const state = connection.value;
  // All views come before they are needed: when somebody goes to one, the server may be away.
  useEffect(() => { if (state === "online") for (const one of VIEWS) LOAD[one]().catch(() => {}); }, [state]);

  return html`<div class="shell ${menu ? "menu-open" : ""}">
    <a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => { event.preventDefault(); main.current?.focus(); }}>${t("skip")}</a>
    <header class="top"><a class="brand" href=${href("Overview")}><img src="view/favicon.svg" alt="" />DPMQ</a>
      <span class="connection ${state}" role="status" aria-live="polite">${t(state)}</span>
      <span class="address break" title=${t("server")}>${location.host}</span>
      <${IconButton} class="menu-button" icon=${menu ? "close" : "menu"} label=${t("menu")} aria-expanded=${menu ? "true" : "false"} onClick=${() => setMenu(!menu)} />
      <div class="controls"><span class="zone">${t("zone", { zone: zoneName() })}</span><${LangSwitch} /><${ThemeSwitch} />
        <${IconButton} icon="keyboard" label=${t("keys")} onClick=${() => { keyHelp.value = true; }} />
        <${IconButton} icon="logout" label=${t("logout")} onClick=${logout} /></div></header>
    <nav class="nav" aria-label=${t("nav")}>${VIEWS.map((one) => html`<a key=${one} href=${href(one)} aria-current=${one === view ? "page" : undefined}
      title=${t(one)} onClick=${() => setMenu(false)}><${Icon} name=${ICONS[one]} /><span>${t(one)}</span></a>`)}</nav>
    <main ref=${main} class="main" id="main" tabIndex=${-1}>
      ${state === "offline" && html`<div class="note warn offline-note"><${Icon} name="warn" /><span>${t("offlineNote")}</span></div>`}
      <${Boundary} key=${view}><${Loaded} view=${view} /><//></main>
    <${Toasts} /><${Confirm} /><${KeyHelp} />
  </div>`;
}

/** @param {{ view: import("./router.js").View }} props */
function Loaded({ view }) {
  const [loaded, setLoaded] = useState(/** @type {{ View?: unknown, error?: unknown }} */ ({}));
  const load = () => { LOAD[view]().then((module) => setLoaded({ View: module.default }), (error) => setLoaded({ error })); };
  useEffect(load, []);
  useHeadingFocus(loaded.View);
  if (loaded.error) return html`<${ErrorState} error=${loaded.error} onRetry=${() => location.reload()} />`;
  return loaded.View ? html`<${loaded.View} />` : html`<${Loading} />`;
}

/** Where the reader last was: "the same heading" is no navigation, for example when a drawer opens over a list. */
let heading = "";

/** After going to another page, the focus is at its heading. @param {unknown} ready */
function useHeadingFocus(ready) {
  const { view, id } = route.value;
  useEffect(() => {
    const h1 = /** @type {HTMLElement | null} */ (document.querySelector("main h1"));
    if (!ready || !h1) return;
    const place = `${view} ${h1.textContent}`;
    const first = heading === "";
    const same = heading === place;
    heading = place;
    if (first || same || document.querySelector("dialog[open]")) return;
    h1.tabIndex = -1;
    h1.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [view, id, ready]);
}

/** A view that fails takes nothing else down. */
class Boundary extends Component {
  constructor(/** @type {{}} */ props) {
    super(props);
    /** @type {{ error?: unknown }} */
    this.state = {};
  }

  componentDidCatch(/** @type {unknown} */ error) {
    console.error(error);
    this.setState({ error });
  }

  render() {
    return "error" in this.state
      ? html`<${ErrorState} error=${this.state.error} onRetry=${() => location.reload()} />` : this.props.children;
  }
}
