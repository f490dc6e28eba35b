import { html, useState } from "../../html.js";
import { advice } from "../../advice.js";
import { ApiError, get } from "../../api.js";
import { number, rate, time } from "../../format.js";
import { texts } from "../../i18n.js";
import { useLoad } from "../../load.js";
import { mayChange } from "../../rights.js";
import { href } from "../../router.js";
import { Button, Card, Empty, ErrorState, Icon, Loading, Stat, uiText } from "../../ui.js";
import { ClientTable } from "../clients/table.js";
import { Name } from "./name.js";
import { PurgeDialog } from "./purge.js";
import { Age, State, stateOf } from "./state.js";
import { useSteady } from "./steady.js";

const t = texts({
  en: {
    topics: "Topics", publish: "Publish", messages: "See messages", watch: "Watch live", purge: "Purge…", counts: "Messages and rates",
    waiting: "Waiting", ofAll: "of {n} stored", oldest: "Oldest waiting", since: "since {time}", nothing: "nothing waits", in: "In", out: "Out",
    inHint: "accepted", outHint: "written to consumers, counted for each",
    acceptedHint: "on their way to be pushed", notConsumedHint: "no consumer got them so far", consumedHint: "at least one consumer got them",
    clients: "Consumers and producers", clientCount: "{consumers} {consumers|consumer|consumers} · {producers} {producers|producer|producers}",
    allClients: "All {n} of them", noClients: "No client is connected to this topic", connect: "How to connect",
    nobody: "This topic has no consumer. Its messages are kept, and pushed soon after one connects.", toConfig: "Configuration",
    behind: "The send buffers of all its consumers are full: messages wait in the store until one has room.",
    unknown: "This topic has neither messages nor clients",
    unknownHint: "Its messages may have been deleted, or may have expired. The topic appears again with its next message or client.",
    failed: "The topic could not be loaded.",
  },
  zh: {
    topics: "主题", publish: "发布消息", messages: "查看消息", watch: "实时查看", purge: "清空…", counts: "消息与速率",
    waiting: "待消费", ofAll: "共存储 {n} 条", oldest: "最早待消费", since: "自 {time}", nothing: "没有待消费的消息", in: "流入", out: "流出", inHint: "已接收",
    outHint: "写给消费者，逐个计数",
    acceptedHint: "正等待推送", notConsumedHint: "尚未推送给任何消费者", consumedHint: "已有消费者收到",
    clients: "消费者与生产者", clientCount: "{consumers} 个消费者 · {producers} 个生产者", allClients: "查看全部 {n} 个", noClients: "此主题没有客户端连接",
    connect: "如何连接",
    nobody: "此主题没有消费者。消息会保留，有消费者连接后很快就会推送。", toConfig: "配置",
    behind: "所有消费者的发送缓冲区都已满：消息留在存储中，等其中一个腾出空间后再推送。",
    unknown: "此主题既没有消息也没有客户端", unknownHint: "其消息可能已被删除或已过期。有新消息或客户端时主题会再次出现。", failed: "无法加载此主题。",
  },
});

const EVERY_MS = 2000;
/** More are in Clients, by pages. */

/** @typedef {import("../../types.d.ts").Status} Status */

/** @param {{ topic: string }} props */
export function TopicDetail({ topic }) {
  const [purging, setPurging] = useState(false);
  const [changes, setChanges] = useState(0);
  const question = String(changes);
  const { data, error, reload } = useLoad(async (signal) => {
    /** @type {import("../../types.d.ts").TopicDetail} */
    const row = await get("/api/topic", { topic }, { signal });
    return { question, row, rows: row.clients };
  }, [changes], { every: EVERY_MS });
  const { rows, gone, box } = useSteady(data, (one) => one.number);
  const missing = error instanceof ApiError && error.status === 404;
  const row = missing ? null : data?.row;

  return html`<div class="view topic">
    <div class="view-head"><div><a class="crumb" href=${href("Topics")}><${Icon} name="back" size=${12} />${t("topics")}</a>
        <div class="row"><h1><${Name} text=${topic} wrap /></h1>${row && html`<${State} row=${row} />`}</div></div>
      <div class="actions">${mayChange.value && html`<${Button} icon="try" href=${href("Try", null, { topic })}>${t("publish")}<//>`}
        <${Button} icon="messages" href=${href("Messages", null, { topic })}>${t("messages")}<//>
        <${Button} icon="eye" href=${href("Try", null, { topic, watch: topic })}>${t("watch")}<//>
        ${row && mayChange.value && html`<${Button} icon="trash" disabled=${row.counts.all === 0} onClick=${() => setPurging(true)}>${t("purge")}<//>`}</div></div>
    ${missing ? html`<${Card}><${Empty} title=${t("unknown")} icon="topics"><p>${t("unknownHint")}</p><//><//>`
      : error !== null && html`<${ErrorState} error=${error} what=${t("failed")} onRetry=${reload} />`}
    ${row ? html`<${Advice} row=${row} /><${Figures} row=${row} />
      <${Card} class="flush" title=${t("clients")} actions=${html`<span class="quiet small">${t("clientCount", { consumers: row.consumers, producers: row.producers })}</span>`}><div ...${box}>
        ${rows.length ? html`<${ClientTable} caption=${t("clients")} clients=${rows} gone=${gone} onChanged=${() => setChanges(changes + 1)} />`
          : html`<${Empty} title=${t("noClients")} icon="clients"><a href=${href("Try", null, { topic, how: "javascript" })}>${t("connect")}</a><//>`}</div>
        ${row.consumers + row.producers > row.clients.length && html`<p class="table-foot"><a href=${href("Clients", null, { topic })}>${t("allClients", { n: row.consumers + row.producers })}</a></p>`}<//>`
    : error === null && html`<${Card}><${Loading} lines=${6} /><//>`}
    ${purging && row && html`<${PurgeDialog} row=${row} onClose=${() => setPurging(false)} onPurged=${() => setChanges(changes + 1)} />`}
  </div>`;
}

/** What the reader should know or do. @param {{ row: import("../../types.d.ts").TopicRow }} props */
function Advice({ row }) {
  const state = stateOf(row);
  if (state === "paced") return html`<div class="note"><${Icon} name="about" /><p>${advice("paced")} <a href=${href("Config", null, { q: "mq." })}>${t("toConfig")}</a></p></div>`;
  return (state === "nobody" || state === "behind") && html`<div class="note warn"><${Icon} name="warn" /><p>${t(state)} ${advice(state)}</p></div>`;
}

/** @param {{ row: import("../../types.d.ts").TopicRow }} props */
function Figures({ row }) {
  const { topic, counts } = row;
  const seen = (/** @type {Status} */ status) => href("Messages", null, { topic, status });
  return html`<dl class="stats topic-stats" aria-label=${t("counts")}>
    <${Stat} label=${t("waiting")} value=${number(row.waiting)} hint=${t("ofAll", { n: counts.all })} />
    <${Stat} label=${uiText("accepted")} value=${number(counts.accepted)} href=${seen("accepted")} hint=${t("acceptedHint")} />
    <${Stat} label=${uiText("not_consumed")} value=${number(counts.notConsumed)} href=${seen("not_consumed")} hint=${t("notConsumedHint")} />
    <${Stat} label=${uiText("consumed")} value=${number(counts.consumed)} href=${seen("consumed")} hint=${t("consumedHint")} />
    <${Stat} label=${t("oldest")} value=${html`<${Age} since=${row.oldestWaiting} />`} hint=${row.oldestWaiting === null ? t("nothing") : t("since", { time: time(row.oldestWaiting) })} />
    <${Stat} label=${t("in")} value=${rate(row.rateIn)} hint=${t("inHint")} />
    <${Stat} label=${t("out")} value=${rate(row.rateOut)} hint=${t("outHint")} /></dl>`;
}
