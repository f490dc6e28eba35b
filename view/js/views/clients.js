import { html, useState } from "../html.js";
import { ApiError, get } from "../api.js";
import { texts } from "../i18n.js";
import { useLoad } from "../load.js";
import { href, route, setParams } from "../router.js";
import { Button, Card, CopyButton, Empty, ErrorState, Input, Loading, Pager, Segments } from "../ui.js";
import { ClientTable } from "./clients/table.js";
import { useSteady } from "./topics/steady.js";
import { useTyped } from "./topics/typed.js";
import { socketUrl } from "./try/snippets.js";

const t = texts({
  en: {
    title: "Clients", lead: "Consumers and producers connected by WebSocket, the longest connected first.",
    role: "Role", all: "All", consumer: "Consumers", producer: "Producers", topic: "Topic", topicHint: "the whole name", search: "Search",
    searchHint: "part of id or address",
    of: "{n} {n|client|clients}", ofPage: "Page {page} · {n} {n|client|clients}", failed: "The clients could not be loaded.",
    none: "No client is connected",
    noneHint: "A consumer connects by WebSocket to this address, with its own topic and id, and answers the first frame with the key:",
    more: "Examples in JavaScript and Python",
    http: "Clients that send by HTTP keep no connection and are not listed here.",
    noMatch: "No client matches", clear: "Clear the filters", noPage: "No client is left on this page", firstPage: "Go to the first page",
    copyUrl: "Copy the address",
  },
  zh: {
    title: "客户端", lead: "通过 WebSocket 连接的消费者和生产者，连接最久的在前。",
    role: "角色", all: "全部", consumer: "消费者", producer: "生产者", topic: "主题", topicHint: "完整名称", search: "搜索", searchHint: "ID 或地址的一部分",
    of: "共 {n} 个客户端", ofPage: "第 {page} 页 · 共 {n} 个客户端", failed: "无法加载客户端。",
    none: "当前没有连接", noneHint: "消费者通过 WebSocket 连接以下地址（换成自己的主题和 ID），并在收到第一帧后发送密钥：", more: "JavaScript 与 Python 示例",
    http: "通过 HTTP 发送消息无需保持连接，其发送方不在此列出。",
    noMatch: "没有匹配的客户端", clear: "清除筛选", noPage: "本页已没有客户端", firstPage: "回到首页", copyUrl: "复制地址",
  },
});

const LIMIT = 50;
const EVERY_MS = 2000;
const FIRST_PAGE = { cursor: null, page: null };
const ROLES = ["consumer", "producer"];

export default function Clients() {
  const { params } = route.value;
  const [topic, setTopic] = useTyped("topic", FIRST_PAGE);
  const [search, setSearch] = useTyped("search", FIRST_PAGE);
  const role = ROLES.includes(params.role ?? "") ? params.role : "";
  // Who was disconnected by the reader goes at once, also while the pointer is in the table.
  const [changes, setChanges] = useState(0);
  const query = { role, topic: params.topic, search: params.search, limit: LIMIT, cursor: params.cursor };
  const question = JSON.stringify([query, changes]);
  const { data, error, reload } = useLoad(async (signal) => {
    const { clients: rows, total, next } = /** @type {import("../types.d.ts").ClientList} */ (await get("/api/clients", query, { signal }));
    return { question, rows, total, next };
  }, [question], { every: EVERY_MS });
  const { rows, gone, box } = useSteady(data, (one) => one.number);
  const page = Number(params.page) || 1;

  return html`<div class="view clients"><div class="view-head"><div><h1>${t("title")}</h1><p class="lead">${t("lead")}</p></div></div>
    <div class="client-filters">
      <div class="field"><span class="label" aria-hidden="true">${t("role")}</span><${Segments} label=${t("role")} value=${role}
        options=${[{ value: "", label: t("all") }, ...ROLES.map((value) => ({ value, label: t(/** @type {"consumer"} */ (value)) }))]}
        onValue=${(/** @type {string} */ value) => setParams({ ...FIRST_PAGE, role: value })} /></div>
      <${Input} label=${t("topic")} placeholder=${t("topicHint")} value=${topic} onValue=${setTopic} autocomplete="off" spellcheck=${false} />
      <${Input} type="search" data-search label=${t("search")} placeholder=${t("searchHint")} value=${search} onValue=${setSearch} autocomplete="off" spellcheck=${false} /></div>
    ${error !== null && html`<${ErrorState} error=${error} what=${t("failed")} onRetry=${params.cursor && error instanceof ApiError && error.status === 400 ? () => setParams(FIRST_PAGE) : reload} />`}
    ${data ? html`<${Card} class="flush"><div ...${box}>
      ${rows.length > 0 ? html`<${ClientTable} caption=${t("title")} clients=${rows} gone=${gone} withTopic busy=${data.question !== question} onChanged=${() => setChanges(changes + 1)} />`
        : html`<${Nothing} />`}</div>
      ${(rows.length > 0 || params.cursor) && html`<${Pager} onFirst=${params.cursor ? () => setParams(FIRST_PAGE) : null}
        onNext=${data.next === null ? null : () => { setParams({ cursor: data.next, page: page + 1 }); scrollTo(0, 0); }}>${
        params.cursor ? t("ofPage", { page, n: data.total }) : t("of", { n: data.total })}<//>`}<//>`
    : error === null && html`<${Card}><${Loading} lines=${8} /><//>`}
  </div>`;
}

function Nothing() {
  const { params } = route.value;
  if (params.cursor) return html`<${Empty} title=${t("noPage")} icon="clients"><${Button} small icon="first" onClick=${() => setParams(FIRST_PAGE)}>${t("firstPage")}<//><//>`;
  if (params.role || params.topic || params.search) return html`<${Empty} title=${t("noMatch")} icon="search">
    <${Button} small onClick=${() => setParams({ role: null, topic: null, search: null })}>${t("clear")}<//><//>`;
  const url = socketUrl("consumer", "my_topic");
  return html`<${Empty} title=${t("none")} icon="clients"><div class="connect-hint"><p>${t("noneHint")}</p>
    <p class="row tight"><code class="break">${url}</code><${CopyButton} text=${url} label=${t("copyUrl")} /></p>
    <p><a href=${href("Try", null, { how: "javascript" })}>${t("more")}</a></p><p class="small">${t("http")}</p></div><//>`;
}
