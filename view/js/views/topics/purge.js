import { html, useState } from "../../html.js";
import { post, url } from "../../api.js";
import { number } from "../../format.js";
import { texts } from "../../i18n.js";
import { Button, confirmTopic, Dialog, toast, uiText } from "../../ui.js";
import { isolated } from "./name.js";

const t = texts({
  en: {
    title: "Purge this topic", choose: "Which messages do you want to delete?", waiting: "Waiting",
    waitingHint: "Accepted or not consumed: no consumer has received them, and none will.",
    consumed: "Consumed", consumedHint: "At least one consumer has received them; they are kept until they expire.", all: "All",
    allHint: "All stored messages of this topic.", go: "Continue",
    willWaiting: "{n} waiting {n|message|messages} (as of now) that no consumer has received", willConsumed: "{n} consumed {n|message|messages} (as of now)",
    willAll: "all {n} {n|message|messages} (as of now), {waiting} of them waiting",
    action: "Delete", done: "Deleted {n} {n|message|messages} of {topic}",
    clients: "Its clients stay connected. A message that is being written to a consumer right now may still arrive.",
  },
  zh: {
    title: "清空此主题", choose: "要删除哪些消息？", waiting: "待消费", waitingHint: "已接收或未消费：尚无人收到。删除后不会再推送。",
    consumed: "已消费", consumedHint: "已有消费者收到，保留至过期。", all: "全部", allHint: "该主题存储的所有消息。", go: "继续",
    willWaiting: "{n} 条待消费消息（截至目前），尚无人收到", willConsumed: "{n} 条已消费消息（截至目前）",
    willAll: "全部 {n} 条消息（截至目前），其中 {waiting} 条待消费",
    action: "删除", done: "已删除 {topic} 的 {n} 条消息", clients: "客户端保持连接。正在写给消费者的消息仍可能送达。",
  },
});

/** @typedef {import("../../types.d.ts").TopicRow} TopicRow */
/** @typedef {import("../../types.d.ts").PurgeRequest["what"]} What */

const WILL = /** @type {const} */ ({ waiting: "willWaiting", consumed: "willConsumed", all: "willAll" });

/** Chooses what to delete; then it is confirmed. @param {{ row: TopicRow, onClose: () => void, onPurged: () => void }} props */
export function PurgeDialog({ row, onClose, onPurged }) {
  const [what, setWhat] = useState(/** @type {What | null} */ (null));
  const counts = { waiting: row.waiting, consumed: row.counts.consumed, all: row.counts.all };

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (what === null) return;
    onClose();
    // This dialog has to be gone first: it gives the focus back, where the next one finds it.
    await new Promise((done) => setTimeout(done));
    if (await purge(row.topic, what, t(WILL[what], { n: counts[what], waiting: row.waiting }))) onPurged();
  }

  return html`<${Dialog} title=${t("title")} onClose=${onClose}><form class="column" onSubmit=${submit}>
    <fieldset class="choices"><legend>${t("choose")}</legend>
      ${/** @type {What[]} */ (["waiting", "consumed", "all"]).map((one) => html`<label key=${one} class="choice">
        <input type="radio" name="what" value=${one} checked=${what === one} disabled=${counts[one] === 0} onChange=${() => setWhat(one)} />
        <span><strong>${t(one)}</strong><span class="quiet small">${t(/** @type {"allHint"} */ (`${one}Hint`))}</span></span><span class="num">${number(counts[one])}</span></label>`)}</fieldset>
    <p class="quiet small">${t("clients")}</p>
    <div class="row end"><${Button} onClick=${onClose}>${uiText("cancel")}<//><${Button} kind="primary" type="submit" disabled=${what === null}>${t("go")}<//></div></form><//>`;
}

/** @param {string} topic @param {What} what @param {string} will @returns {Promise<boolean>} */
async function purge(topic, what, will) {
  let deleted = 0;
  const done = await confirmTopic({
    title: t("title"), will, topic, action: t("action"),
    run: async () => {
      /** @type {import("../../types.d.ts").PurgeReply} */
      const reply = await post(url("/api/topic/purge", { topic }), { confirm: topic, what });
      deleted = reply.deleted;
    },
  });
  if (done) toast(t("done", { n: deleted, topic: isolated(topic) }));
  return done;
}
