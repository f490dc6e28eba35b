import { html, useEffect, useId, useRef, useState } from "../../html.js";
import { get } from "../../api.js";
import { duration } from "../../format.js";
import { texts } from "../../i18n.js";
import { overview } from "../../live.js";
import { useLoad } from "../../load.js";
import { held, mayChange } from "../../rights.js";
import { href } from "../../router.js";
import { Button, Card, CopyButton, ErrorState, Icon, Input, TextArea } from "../../ui.js";
import { Name } from "../topics/name.js";
import { formatJson } from "./json.js";
import { draft, send, sent } from "./send.js";

const t = texts({
  en: {
    title: "Publish", topic: "Topic", topicHint: "any text without |", data: "Data", dataHint: "Any text; it is stored exactly as you enter it.",
    format: "Format JSON", notJson: "This is not JSON: {why}",
    repeat: "Times", send: "Send", sending: "Sending {n} of {all}…", stop: "Stop", keys: "Ctrl+Enter sends", sent: "Sent last",
    noTopic: "Enter a topic.", bar: "A topic must not contain |.", noData: "A message must have data.", badTimes: "From 1 to 100.",
    synced: "accepted and synced in {time}", stored: "{n} of {all} accepted and synced in {time}, {each} each, {slowest} the slowest", stopped: "stopped",
    measured: "Measured in this page, including the way to the server and back.",
    memory: "This server keeps messages in memory only: accepted does not mean synced.", failed: "Not all messages were accepted.",
    failedOne: "The message was not accepted.", code: "Last code", copyCode: "Copy the code",
    refusing: "The server cannot store messages now: {why}", noRight: "Your key {key} may only read: publishing here needs the right console-change.",
  },
  zh: {
    title: "发布", topic: "主题", topicHint: "任意文字，不含 |", data: "数据", dataHint: "任意文字，将原样存储。", format: "格式化 JSON",
    notJson: "不是有效的 JSON：{why}",
    repeat: "次数", send: "发送", sending: "正在发送 {n} / {all}…", stop: "停止", keys: "Ctrl+Enter 发送", sent: "最近发送",
    noTopic: "消息需要主题。", bar: "主题不能包含 |。", noData: "消息需要数据：空内容不算消息。", badTimes: "1 到 100。",
    synced: "已接收并落盘，用时 {time}", stored: "{all} 条中 {n} 条已接收并落盘，共用时 {time}，平均 {each}，最慢 {slowest}", stopped: "已停止",
    measured: "在本页面测得，包含与服务器往返的时间。", memory: "此服务器仅将消息保存在内存中：已接收不代表已落盘。", failed: "未能全部接收。",
    failedOne: "未被接收。", code: "最后一条的消息编码", copyCode: "复制消息编码",
    refusing: "服务器当前无法存储消息：{why}", noRight: "您的密钥 {key} 只能查看，不能更改：在此发布需要 console-change 权限。",
  },
});

const TIMES_MAX = 100;
const SUGGESTED = 20;

/** @param {{ topic: string, setTopic: (topic: string) => void }} props */
export function Publish({ topic, setTopic }) {
  const [times, setTimes] = useState("1");
  const [wrong, setWrong] = useState(/** @type {{ topic?: string, data?: string, times?: string }} */ ({}));
  const [running, setRunning] = useState(false);
  const stop = useRef(/** @type {AbortController | null} */ (null));
  useEffect(() => () => stop.current?.abort(), []);
  const id = useId();

  async function submit() {
    if (running || !mayChange.peek()) return;
    const n = Number(times);
    const problems = {
      topic: topic === "" ? t("noTopic") : topic.includes("|") ? t("bar") : undefined,
      data: draft.peek() === "" ? t("noData") : undefined,
      times: Number.isInteger(n) && n >= 1 && n <= TIMES_MAX ? undefined : t("badTimes"),
    };
    setWrong(problems);
    if (Object.values(problems).some(Boolean)) return;
    stop.current = new AbortController();
    setRunning(true);
    await send(topic, draft.peek(), n, stop.current.signal);
    setRunning(false);
  }

  function format() {
    try {
      draft.value = formatJson(draft.peek());
      setWrong({ ...wrong, data: undefined });
    } catch (error) {
      setWrong({ ...wrong, data: t("notJson", { why: error instanceof Error ? error.message : String(error) }) });
    }
  }

  const trouble = overview.value?.health.state === "refusing" ? overview.value.health.reasons.join(" ") : null;
  return html`<${Card} title=${t("title")} class="publish"><form class="column" onSubmit=${(/** @type {Event} */ event) => { event.preventDefault(); submit(); }}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit(); } }}>
    ${held.value !== null && !mayChange.value && html`<div class="note warn"><${Icon} name="warn" /><p>${t("noRight", { key: held.value.name })}</p></div>`}
    ${trouble !== null && html`<div class="note bad"><${Icon} name="warn" /><p>${t("refusing", { why: trouble })}</p></div>`}
    <${Input} label=${t("topic")} hint=${t("topicHint")} error=${wrong.topic} value=${topic} list=${`${id}-topics`} autocomplete="off" spellcheck=${false}
      onValue=${(/** @type {string} */ value) => { setTopic(value); setWrong({ ...wrong, topic: undefined }); }} />
    <${Suggestions} id=${`${id}-topics`} search=${topic} />
    <${TextArea} label=${t("data")} hint=${t("dataHint")} error=${wrong.data} value=${draft.value} rows=${8} dir="auto" spellcheck=${false}
      onValue=${(/** @type {string} */ value) => { draft.value = value; setWrong({ ...wrong, data: undefined }); }} />
    <div class="send-row"><${Button} disabled=${draft.value === ""} onClick=${format}>${t("format")}<//>
      <${Input} fieldClass="times" label=${t("repeat")} error=${wrong.times} type="number" min="1" max=${TIMES_MAX} step="1" inputmode="numeric" value=${times} onValue=${setTimes} />
      ${running && Number(times) > 1 && html`<${Button} onClick=${() => stop.current?.abort()}>${t("stop")}<//>`}
      <${Button} kind="primary" type="submit" icon="try" busy=${running} disabled=${!mayChange.value} title=${t("keys")} aria-keyshortcuts="Control+Enter">${t("send")}<//></div>
    <p class="quiet small keys-hint">${t("keys")}</p></form>
    <${Results} /><//>`;
}

/** Topics that there are, for the box of the browser. @param {{ id: string, search: string }} props */
function Suggestions({ id, search }) {
  const [asked, setAsked] = useState(search);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(search), 200);
    return () => clearTimeout(timer);
  }, [search]);
  const { data } = useLoad((signal) => /** @type {Promise<import("../../types.d.ts").TopicList>} */ (get("/api/topics", { search: asked, sort: "name", order: "asc", limit: SUGGESTED }, { signal })), [asked]);
  return html`<datalist id=${id}>${data?.topics.map(({ topic }) => html`<option key=${topic} value=${topic}></option>`)}</datalist>`;
}

/** What was sent last, newest first. */
function Results() {
  if (sent.value.length === 0) return null;
  return html`<div class="sent" role="region" aria-label=${t("sent")}><h3>${t("sent")}</h3>
    <ol aria-live="polite">${sent.value.map((one) => html`<li key=${one.id}><${Result} one=${one} /></li>`)}</ol>
    ${sent.value.some((one) => one.codes.length) && html`<p class="quiet small">${overview.value?.durability === "memory" ? t("memory") : t("measured")}</p>`}</div>`;
}

/** @param {{ one: import("./send.js").Sent }} props */
function Result({ one }) {
  const n = one.codes.length, last = one.codes.at(-1);
  const span = (/** @type {number} */ ms) => duration(Math.max(1, ms) / 1000);
  const progress = !one.done && one.wanted > 1 ? t("sending", { n: n + 1, all: one.wanted })
    : n === 0 ? ""
      : one.wanted === 1 ? t("synced", { time: span(one.ms) })
        : t("stored", { n, all: one.wanted, time: span(one.ms), each: span(one.ms / n), slowest: span(one.slowest) });
  const stopped = one.done && !one.error && n < one.wanted ? ` · ${t("stopped")}` : "";
  return html`<div class="sent-head"><${Icon} name=${!one.done ? "refresh" : one.error ? "warn" : "check"} size=${14} />
      <p><strong><${Name} text=${one.topic} wrap /></strong> <span class="quiet">${progress}${stopped}</span></p></div>
    ${last && html`<div class="row tight sent-code">${one.wanted > 1 && html`<span class="quiet small nowrap">${t("code")}</span>`}
      <a class="mono break" href=${href("Messages", last)}>${last}</a><${CopyButton} text=${last} label=${t("copyCode")} /></div>`}
    ${one.error !== null && html`<${ErrorState} error=${one.error} what=${t(one.wanted > 1 ? "failed" : "failedOne")} />`}`;
}
