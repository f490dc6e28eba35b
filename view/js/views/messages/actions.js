import { html, useState } from "../../html.js";
import { ApiError, del, isAbort, post } from "../../api.js";
import { bytes, time } from "../../format.js";
import { mayChange } from "../../rights.js";
import { Button, confirmTopic, explain, toast, uiText } from "../../ui.js";
import { Publish } from "./publish.js";
import { t } from "./text.js";

/** @typedef {import("../../types.d.ts").MessageDetail} MessageDetail */

/** @param {MessageDetail} message @param {() => void} onGone */
async function remove({ code, topic, status, bytes: size, created }, onGone) {
  const done = await confirmTopic({
    title: t("deleteTitle"), topic, action: t("deleteAction"),
    will: t("deleteWill", { status: uiText(status), size: bytes(size), time: time(created) }),
    run: () => del(`/api/messages/${code}`, { confirm: topic }),
  });
  if (!done) return;
  toast(t("deleted"));
  onGone();
}

/** @param {unknown} error */
function whyNotPushed(error) {
  if (error instanceof ApiError && ["already_waiting", "already_consumed", "queue_full"].includes(error.code)) return t(/** @type {"queue_full"} */ (error.code));
  if (error instanceof ApiError && error.status === 404) return t("pushGone");
  const { what, hint, detail } = explain(error);
  return `${what} ${detail || hint}`;
}

/** @param {{ message: MessageDetail, params: import("./query.js").Params, onChanged: () => void, onGone: () => void }} props */
export function Actions({ message, params, onChanged, onGone }) {
  const [publishing, setPublishing] = useState(false);
  const [pushing, setPushing] = useState(false);

  async function push() {
    setPushing(true);
    try {
      await post(`/api/messages/${message.code}/push`);
      toast(t("pushed"));
    } catch (error) {
      if (!isAbort(error)) toast(whyNotPushed(error), "error");
    }
    setPushing(false);
    onChanged();
  }

  if (!mayChange.value) return null;
  return html`<div class="actions">
    ${message.status === "not_consumed" && html`<${Button} small icon="refresh" busy=${pushing} onClick=${push}>${t("pushAgain")}<//>`}
    <${Button} small icon="resend" onClick=${() => setPublishing(true)}>${t("publishAgain")}<//>
    <${Button} small icon="trash" class="danger-text" onClick=${() => remove(message, onGone)}>${t("delete")}<//>
    ${publishing && html`<${Publish} topic=${message.topic} data=${message.data} params=${params} onClose=${() => setPublishing(false)} />`}</div>`;
}
