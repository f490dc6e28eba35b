import { html, useRef, useState } from "../../html.js";
import { bytes, caseless, number, time } from "../../format.js";
import { texts } from "../../i18n.js";
import { href, setParams } from "../../router.js";
import { Button, Card, CopyButton, Empty, ErrorState, Icon, Input, Tag } from "../../ui.js";
import { isolated, Name, visible } from "../topics/name.js";
import { useTyped } from "../topics/typed.js";
import { KEPT, useFeed } from "./feed.js";
import { formatJson } from "./json.js";

const t = texts({
  en: {
    title: "Watch", harmless: "Shows messages as they are accepted. Watching consumes nothing: consumers still get every message.",
    start: "Start watching", stop: "Stop", pause: "Pause", resume: "Resume", clear: "Clear the list", instead: "Watch {topic} instead",
    needTopic: "Choose a topic first.",
    connecting: "connecting…", on: "watching", paused: "paused", lost: "connection lost, trying again…",
    came: "{n} {n|message|messages} received", missed: "{n} missed", noneMissed: "none missed", kept: "the newest {n} are kept",
    fresh: "{n} new {n|one|ones}: show", freshHint: "They are held back while you are in the list.", filter: "Filter",
    filterHint: "text in the data or the code",
    idle: "Not watching", idleHint: "Start watching, then publish a message here or elsewhere.", quiet: "No message since the start",
    quietHint: "Earlier messages are in Messages.",
    noMatch: "No message here matches the filter",
    wasMissed: "{n} {n|message|messages} not shown: they came faster than this page could show them. They are stored.",
    gap: "The connection was lost here. Messages that came meanwhile are not shown here; they are in Messages.", open: "Open the message",
    copyData: "Copy the data", copyCode: "Copy the code",
    part: "The first {shown} of {all}; open the message to see all of it.", empty: "(blank)", list: "Messages as they come, newest first",
    failed: "The topic cannot be watched.",
  },
  zh: {
    title: "实时查看", harmless: "消息被接收时即显示在此。查看不会消费任何消息：消费者照常收到每条消息。",
    start: "开始查看", stop: "停止", pause: "暂停", resume: "继续", clear: "清空列表", instead: "改为查看 {topic}", needTopic: "请先选择主题。",
    connecting: "连接中…", on: "查看中", paused: "已暂停", lost: "连接已断开，正在重试…",
    came: "收到 {n} 条", missed: "漏掉 {n} 条", noneMissed: "没有遗漏", kept: "保留最新的 {n} 条",
    fresh: "{n} 条新消息：点击显示", freshHint: "您在列表中时新消息会等待。", filter: "筛选", filterHint: "数据或消息编码中的文字",
    idle: "尚未开始查看", idleHint: "开始查看后，在此处或别处发布一条消息。", quiet: "开始以来还没有消息", quietHint: "之前发送的消息请到“消息”中查看。",
    noMatch: "保留的消息中没有匹配的内容", wasMissed: "有 {n} 条消息未显示：到达速度超过了本页面的处理能力。它们已照常存储。",
    gap: "此处连接曾断开：期间的消息未显示，可在“消息”中查看。", open: "打开消息", copyData: "复制数据", copyCode: "复制消息编码",
    part: "仅前 {shown}，共 {all}；完整内容见消息详情。", empty: "（空白）", list: "实时消息，最新的在前", failed: "无法查看此主题。",
  },
});

/** @typedef {import("./feed.js").Entry} Entry */
/** @typedef {import("../../types.d.ts").Message} Message */

const PREVIEW = 200;

/** @param {{ topic: string, watched: string }} props `topic`: what is chosen on the page; `watched`: what is watched, or "" */
export function Watch({ topic, watched }) {
  const [paused, setPaused] = useState(false);
  // Whoever reads or is about to click holds the list: nothing moves under the pointer.
  const [inside, setInside] = useState({ pointer: false, focus: false });
  const [filter, setFilter] = useTyped("filter");
  const reading = inside.pointer || inside.focus;
  const feed = useFeed(watched, { paused, reading });
  const list = useRef(/** @type {HTMLElement | null} */ (null));

  const needle = caseless(filter);
  const rows = needle ? feed.shown.filter((one) => !("message" in one) || caseless(`${one.message.data}\n${one.message.code}`).includes(needle)) : feed.shown;
  const start = () => { setPaused(false); setParams({ topic, watch: topic }); };
  const state = feed.state === "on" && paused ? "paused" : feed.state;

  return html`<${Card} class="watch" title=${t("title")} actions=${watched ? html`
      <${Button} small icon=${paused ? "play" : "pause"} onClick=${() => setPaused(!paused)}>${t(paused ? "resume" : "pause")}<//>
      <${Button} small icon="close" onClick=${() => setParams({ watch: null })}>${t("stop")}<//>`
    : html`<${Button} small kind="primary" icon="play" disabled=${!topic} title=${topic ? undefined : t("needTopic")} onClick=${start}>${t("start")}<//>`}>
    <div class="column"><p class="quiet small">${t("harmless")}</p>
    ${watched && html`<div class="watch-head"><${Tag} tone=${state === "on" ? "good" : state === "lost" ? "bad" : "warn"}>${t(state)}<//><strong class="watch-topic"><${Name} text=${watched} wrap /></strong>
        ${topic && topic !== watched && html`<${Button} small kind="quiet" onClick=${start}>${t("instead", { topic: isolated(topic) })}<//>`}</div>
      <div class="watch-filter"><${Input} type="search" label=${t("filter")} placeholder=${t("filterHint")} value=${filter} onValue=${setFilter} autocomplete="off" spellcheck=${false} />
        <${Button} small disabled=${feed.shown.length + feed.fresh.length === 0} onClick=${feed.clear}>${t("clear")}<//></div>
      <p class="small watch-counts"><span>${t("came", { n: feed.came })}</span>
        ${" · "}${feed.missed ? html`<strong class="warn-text">${t("missed", { n: feed.missed })}</strong>` : html`<span>${t("noneMissed")}</span>`}
        ${" · "}<span class="quiet">${t("kept", { n: KEPT })}</span></p>`}
    ${feed.error !== null && watched && html`<${ErrorState} error=${feed.error} what=${t("failed")} />`}
    ${watched ? html`<div class="feed-box" ref=${list} onPointerEnter=${() => setInside((old) => ({ ...old, pointer: true }))} onPointerLeave=${() => setInside((old) => ({ ...old, pointer: false }))}
        onFocusCapture=${() => setInside((old) => ({ ...old, focus: true }))} onBlurCapture=${() => setInside((old) => ({ ...old, focus: false }))}>
        <div class="feed-new">${feed.fresh.length > 0 && (paused || reading) && html`<button type="button" class="button small quiet" title=${t("freshHint")}
          onClick=${() => { feed.show(); list.current?.querySelector(".feed")?.scrollTo(0, 0); }}>${t("fresh", { n: feed.fresh.length })}</button>`}</div>
        ${rows.length ? html`<ol class="feed" aria-label=${t("list")} tabIndex=${0}>${rows.map((one) => html`<li key=${one.id}><${Line} entry=${one} /></li>`)}</ol>`
          : feed.shown.length ? html`<${Empty} title=${t("noMatch")} icon="search" />` : html`<${Empty} title=${t("quiet")}>${t("quietHint")}<//>`}</div>`
      : html`<${Empty} title=${t("idle")} icon="eye">${topic ? t("idleHint") : t("needTopic")}<//>`}</div><//>`;
}

/** @param {{ entry: Entry }} props */
function Line({ entry }) {
  if ("message" in entry) return html`<${Received} message=${entry.message} />`;
  return html`<p class="feed-note"><${Icon} name="warn" size=${14} /><span>${"missed" in entry ? t("wasMissed", { n: entry.missed }) : t("gap")}</span></p>`;
}

/** @param {{ message: Message }} props */
function Received({ message }) {
  const [open, setOpen] = useState(false);
  const { data } = message;
  return html`<details onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}>
    <summary><time class="num quiet" dateTime=${new Date(message.created * 1000).toISOString()}>${time(message.created, "time")}</time>
      <bdi class="cut mono">${data.trim() === "" ? html`<span class="quiet">${t("empty")} </span>` : ""}${visible(data.slice(0, PREVIEW))}</bdi><span class="quiet small nowrap">${bytes(message.bytes)}</span></summary>
    ${open && html`<${Whole} message=${message} />`}</details>`;
}

/** @param {{ message: Message }} props */
function Whole({ message }) {
  const { code, data, dataComplete } = message;
  return html`<div class="feed-whole"><div class="row"><a href=${href("Messages", code)}>${t("open")}</a><code class="break quiet">${code}</code><${CopyButton} text=${code} label=${t("copyCode")} />
      <${CopyButton} text=${data} label=${t("copyData")} withText /></div>
    ${!dataComplete && html`<p class="small warn-text">${t("part", { shown: bytes(new Blob([data]).size), all: bytes(message.bytes) })}</p>`}
    <pre class="feed-data" dir="auto" tabIndex=${0}>${visible(pretty(data), { lines: true })}</pre></div>`;
}

/** @param {string} data */
function pretty(data) {
  try { return /^\s*[[{]/.test(data) ? formatJson(data) : data; } catch { return data; }
}
