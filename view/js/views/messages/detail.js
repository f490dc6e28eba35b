import { html, useEffect, useRef, useState } from "../../html.js";
import { ApiError, get } from "../../api.js";
import { useLoad } from "../../load.js";
import { go, href, setParams } from "../../router.js";
import { CopyButton, ErrorState, IconButton, Loading, StatusTag } from "../../ui.js";
import { Actions } from "./actions.js";
import { Data } from "./data.js";
import { Life } from "./life.js";
import { Missing } from "./missing.js";
import { codeIn } from "./query.js";
import { t } from "./text.js";
import { visibleLine } from "./visible.js";

/** @typedef {import("../../types.d.ts").MessageDetail} MessageDetail */

const POLL_MS = 2000;
/** A large message is asked for less often: all of it comes each time. */
const POLL_BYTES = 256 * 1024, POLL_MS_MAX = 30000;

/** @param {MessageDetail | null} message */
const pollOf = (message) => (message?.life.waiting ? Math.min(POLL_MS_MAX, POLL_MS * Math.ceil(message.bytes / POLL_BYTES || 1)) : undefined);

/**
 * One message, beside the list. Esc closes it, up and down go to its neighbours.
 * @param {{ id: string, params: import("./query.js").Params, shown: import("./list.js").Shown, onGone: (code: string) => void }} props
 */
export function Detail({ id, params, shown, onGone }) {
  const panel = useRef(/** @type {HTMLElement | null} */ (null));
  const code = codeIn(id);
  const at = shown.value.findIndex((row) => row.code === code);
  const newer = at > 0 ? shown.value[at - 1].code : null;
  const older = at >= 0 ? shown.value[at + 1]?.code ?? null : null;
  const move = (/** @type {string | null} */ to) => { if (to) go("Messages", to, params, { replace: true }); };
  const close = () => go("Messages", null, params);

  useEffect(() => {
    if (!panel.current?.contains(document.activeElement)) panel.current?.focus({ preventScroll: true });
    panel.current?.scrollTo(0, 0);
  }, [code]);

  const keys = useRef(/** @type {(event: KeyboardEvent) => void} */ (() => {}));
  keys.current = (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || target.closest("input, textarea, select")) return;
    const inside = panel.current?.contains(target) && !target.closest(".data-hex");
    if (event.key === "Escape") close();
    else if (event.key === "ArrowUp" && inside && newer) move(newer);
    else if (event.key === "ArrowDown" && inside && older) move(older);
    else return;
    event.preventDefault();
  };
  useEffect(() => {
    const onKeyDown = (/** @type {KeyboardEvent} */ event) => keys.current(event);
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);

  return html`<aside ref=${panel} class="detail" tabIndex=${-1} aria-label=${t("message")}>
    <header class="detail-head"><span class="below-wide"><${IconButton} icon="back" label=${t("back")} onClick=${close} /></span><h2>${t("message")}</h2>
      <div class="actions"><${IconButton} icon="up" label=${t("newer")} disabled=${!newer} onClick=${() => move(newer)} /><${IconButton} icon="down" label=${t("olderOne")} disabled=${!older} onClick=${() => move(older)} />
        <span class="above-wide"><${IconButton} icon="close" label=${t("close")} onClick=${close} /></span></div></header>
    <div class="detail-body">${code ? html`<${Loaded} key=${code} code=${code} params=${params} onGone=${onGone} />` : html`<${Missing} id=${id} params=${params} />`}</div></aside>`;
}

/** @param {{ code: string, params: import("./query.js").Params, onGone: (code: string) => void }} props */
function Loaded({ code, params, onGone }) {
  const [every, setEvery] = useState(/** @type {number | undefined} */ (undefined));
  const { data: message, error, reload } = useLoad((signal) => /** @type {Promise<MessageDetail>} */ (get(`/api/messages/${code}`, {}, { signal })), [code], { every });
  useEffect(() => setEvery(pollOf(message)), [message]);
  if (error instanceof ApiError && error.status === 404) return html`<${Missing} id=${code} params=${params} />`;
  if (!message) return error ? html`<${ErrorState} error=${error} what=${t("detailFailed")} onRetry=${reload} />` : html`<${Loading} lines=${6} />`;

  return html`<div class="row between"><${StatusTag} status=${message.status} /><${Actions} message=${message} params=${params} onChanged=${reload} onGone=${() => onGone(code)} /></div>
    <dl class="facts"><dt>${t("topic")}</dt><dd><a href=${href("Topics", message.topic)}><bdi>${visibleLine(message.topic)}</bdi></a></dd>
      <dt>${t("code")}</dt><dd class="row tight"><code class="break">${code}</code><${CopyButton} text=${code} label=${t("copyCode")} /></dd></dl>
    <${Life} message=${message} />
    <${Data} message=${message} as=${params.as} onAs=${(/** @type {string} */ as) => setParams({ as }, { replace: true })} />`;
}
