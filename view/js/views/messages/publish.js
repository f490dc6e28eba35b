import { html, useState } from "../../html.js";
import { post } from "../../api.js";
import { bytes } from "../../format.js";
import { href } from "../../router.js";
import { Button, CopyButton, Dialog, ErrorState, Icon, Input, TextArea, uiText } from "../../ui.js";
import { t } from "./text.js";

/** A larger text makes a text field slow. */
const EDITABLE = 512 * 1024;

/**
 * Sends the same, or nearly, as a new message. What is not edited is sent exactly as it is: a text field would change
 * line ends.
 * @param {{ topic: string, data: string, params: import("./query.js").Params, onClose: () => void }} props
 */
export function Publish({ topic, data, params, onClose }) {
  const [to, setTo] = useState(topic);
  const [text, setText] = useState(data);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [code, setCode] = useState(/** @type {string | null} */ (null));
  const topicError = to === "" ? t("noTopic") : to.includes("|") ? t("badTopic") : "";

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (busy || topicError || !text) return;
    setBusy(true);
    setError(null);
    try {
      const reply = /** @type {import("../../types.d.ts").PublishReply} */ (await post("/api/messages", { topic: to, data: text }));
      setCode(reply.code);
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  }

  if (code) return html`<${Dialog} key="done" wide title=${t("published")} onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${uiText("close")}<//>
      <${Button} kind="primary" href=${href("Messages", code, params)} onClick=${onClose} autofocus>${t("open")}<//>`}>
    <p class="row tight"><${Icon} name="check" /><code class="break">${code}</code><${CopyButton} text=${code} label=${t("copyCode")} /></p><//>`;

  return html`<${Dialog} key="form" wide title=${t("publishTitle")} onClose=${() => { if (!busy) onClose(); }}><form class="column" onSubmit=${submit}>
    <p class="note">${t("publishNote")}</p>
    <${Input} label=${t("topic")} value=${to} onValue=${setTo} error=${topicError} autocomplete="off" spellcheck=${false} dir="auto" />
    ${data.length > EDITABLE ? html`<p class="quiet">${t("tooLarge", { size: bytes(data.length) })}</p>`
      : html`<${TextArea} label=${t("data")} value=${text} onValue=${setText} rows=${10} spellcheck=${false} error=${text ? "" : t("noData")} hint=${/\r/.test(text) && t("lineEnds")} />`}
    ${error !== null && html`<${ErrorState} error=${error} what=${t("publishFailed")} />`}
    <div class="row end"><${Button} disabled=${busy} onClick=${onClose}>${t("cancel")}<//>
      <${Button} kind="primary" icon="resend" type="submit" busy=${busy}
        disabled=${Boolean(topicError) || !text}>${busy ? t("publishing") : t("publish")}<//></div></form><//>`;
}
