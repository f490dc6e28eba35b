import { html, useEffect, useId, useRef, useState } from "./html.js";
import { ApiError, keyIsPublished, login, loginRefused } from "./api.js";
import { texts } from "./i18n.js";
import { LangSwitch, ThemeSwitch } from "./switches.js";
import { Button, Checkbox, explain, IconButton } from "./ui.js";

const t = texts({
  en: {
    title: "Log in", lead: "Console of {address}", key: "Secret key",
    hint: "The value of mq.secretKey in the server’s configuration, or a named key with the right console-read",
    published: "This server uses the published key: enter dpmq. Set a key of your own before others can reach the server.",
    show: "Show the key", hide: "Hide the key", remember: "Remember on this computer", rememberHint: "Otherwise only until you close this tab",
    go: "Log in", working: "Checking…", wrong: "This key is wrong. Check mq.secretKey on the server, capital letters and spaces.",
    ended: "You have been logged out: the server no longer accepts the key. It may have been changed.", none: "Enter the key.",
    expired: "This key has expired.", noRight: "This key is valid, but it lacks the right console-read, which the console needs.",
  },
  zh: {
    title: "登录", lead: "{address} 的控制台", key: "密钥", hint: "服务器配置中 mq.secretKey 的值，或具有 console-read 权限的命名密钥",
    published: "此服务器使用公开的默认密钥，请输入 dpmq。允许他人访问之前，请先设置自己的密钥。",
    show: "显示密钥", hide: "隐藏密钥", remember: "在此电脑上记住", rememberHint: "否则关闭此标签页后失效",
    go: "登录", working: "验证中…", wrong: "密钥不正确。请核对服务器上的 mq.secretKey，并注意大小写和空格。",
    ended: "已退出登录：服务器不再接受此密钥，它可能已被更改。", none: "请输入密钥。", expired: "此密钥已过期。",
    noRight: "密钥正确，但不能用于控制台：缺少 console-read 权限。",
  },
});

export function Login() {
  const [typed, setTyped] = useState("");
  const [shown, setShown] = useState(false);
  const [remember, setRemember] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [published, setPublished] = useState(false);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const id = useId();
  useEffect(() => { field.current?.focus(); }, []);
  // A hint only: without it the login works all the same.
  useEffect(() => { keyIsPublished().then(setPublished, () => {}); }, []);
  useEffect(() => { document.title = `${t("title")} · DPMQ`; });

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (!typed) { setError("none"); return; }
    setBusy(true);
    try {
      await login(typed, remember);
    } catch (failure) {
      setError(failure);
      setBusy(false);
      field.current?.select();
    }
  }

  const problem = error === "none" ? t("none")
    : error instanceof ApiError && error.status === 401 ? t(error.code === "expired_key" ? "expired" : "wrong")
    : error instanceof ApiError && error.status === 403 ? t("noRight")
      : error ? `${explain(error).what} ${explain(error).hint}`
        : loginRefused.value ? t("ended") : null;

  return html`<div class="login"><div class="login-top"><${LangSwitch} /><${ThemeSwitch} /></div>
    <main><div class="brand"><img src="view/favicon.svg" alt="" />DPMQ</div>
      <h1>${t("title")}</h1><p class="quiet break">${t("lead", { address: location.host })}</p>
      <form class="card column" onSubmit=${submit} noValidate>
        <div class="field"><label for=${id}>${t("key")}</label>
          <div class="with-toggle"><input ref=${field} id=${id} class="input" name="key" type=${shown ? "text" : "password"} autocomplete="current-password" autocapitalize="none" spellcheck=${false}
            value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.currentTarget.value)} aria-describedby="${id}-more" aria-invalid=${problem ? "true" : undefined} />
            <${IconButton} icon=${shown ? "eyeOff" : "eye"} label=${t(shown ? "hide" : "show")} aria-pressed=${shown ? "true" : "false"} onClick=${() => setShown(!shown)} /></div>
          <div id="${id}-more"><p class="field-hint">${t(published ? "published" : "hint")}</p><p class="field-error" role="alert">${problem}</p></div></div>
        <${Checkbox} label=${t("remember")} hint=${t("rememberHint")} checked=${remember} onChecked=${setRemember} />
        <${Button} kind="primary" type="submit" busy=${busy}>${t(busy ? "working" : "go")}<//>
      </form></main></div>`;
}
