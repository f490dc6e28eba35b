import { html } from "../html.js";
import { BASE } from "../address.js";
import { duration, time } from "../format.js";
import { texts } from "../i18n.js";
import { KeyList } from "../keys.js";
import { now, overview } from "../live.js";
import { Card, Icon, Loading, Tag } from "../ui.js";

const t = texts({
  en: {
    title: "About", lead: "A durable message broker in one binary.",
    server: "Server", version: "Version", uptime: "Running for", since: "since {time}", address: "Address", durability: "Durability",
    disk: "Synced to disk before the answer", memory: "In memory only: messages are lost when the server stops",
    api: "API", openapi: "Description of the console’s API (OpenAPI)",
    openapiHint: "This page does everything through it. With the header secretKey, a script can do the same.",
    protocol: "docs/protocol.md in the repository describes the protocol of producers and consumers.",
    endpoints: "Endpoints of the DPMQ protocol", path: "Path", does: "What it does",
    send: "sends messageData to topic", ping: "checks the key", consumers: "connected consumers", config: "the settings in effect",
    list: "messages by time, status and topic", count: "number of messages, by status",
    producerSocket: "each frame after the key is a message; with ?ack=1 the server answers each", consumerSocket: "after the key, the server pushes messages",
    licences: "Licences", own: "DPMQ", vendored: "Libraries in this page", files: "Their licence texts are in view/vendor of the repository, and here:",
    keys: "Keyboard",
  },
  zh: {
    title: "关于", lead: "单个可执行文件的持久化消息代理。",
    server: "服务器", version: "版本", uptime: "已运行", since: "自 {time} 起", address: "地址", durability: "持久性",
    disk: "写入磁盘后才应答", memory: "仅在内存中：服务器停止后消息会丢失",
    api: "接口", openapi: "控制台接口说明 (OpenAPI)", openapiHint: "本页面的所有操作都通过该接口完成：脚本带上 secretKey 请求头也能做到。",
    protocol: "生产者与消费者的协议见代码仓库中的 docs/protocol.md。",
    endpoints: "DPMQ 协议的接口", path: "路径", does: "说明",
    send: "向 topic 发送 messageData", ping: "检查密钥", consumers: "在线消费者", config: "当前生效的配置",
    list: "按时间、状态、主题查询消息", count: "按状态统计消息数量",
    producerSocket: "密钥之后的每一帧都是一条消息；带 ?ack=1 时逐条应答", consumerSocket: "密钥之后开始推送消息",
    licences: "许可证", own: "DPMQ", vendored: "本页面使用的库", files: "许可证全文见代码仓库的 view/vendor，也可在此查看：", keys: "键盘快捷键",
  },
});

/** @type {[string, string, Parameters<typeof t>[0]][]} */
const ENDPOINTS = [
  ["POST", "/Producer/Send", "send"], ["POST", "/Console/Ping", "ping"], ["POST", "/Console/GetConsumers", "consumers"],
  ["POST", "/Console/GetConfig", "config"], ["POST", "/Console/GetMessageList", "list"], ["POST", "/Console/CountMessage", "count"],
  ["WS", "/Producers/Conn/{topic}/{id}", "producerSocket"], ["WS", "/Consumers/Conn/{topic}/{id}", "consumerSocket"],
];

const LIBRARIES = [
  ["Preact", "MIT", "preact"], ["htm", "Apache-2.0", "htm"], ["@preact/signals", "MIT", "preact-signals"],
  ["@preact/signals-core", "MIT", "preact-signals-core"], ["uPlot", "MIT", "uplot"],
];

export default function About() {
  const server = overview.value;
  return html`<div class="view">
    <div class="view-head"><div><h1>${t("title")}</h1><p class="lead">${t("lead")}</p></div></div>
    <div class="grid">
      <${Card} title=${t("server")}>${server ? html`<dl class="facts">
        <dt>${t("version")}</dt><dd>DPMQ ${server.version}</dd>
        <dt>${t("uptime")}</dt><dd>${duration(now.value - server.startedAt)} <span class="quiet nowrap">${t("since", { time: time(server.startedAt) })}</span></dd>
        <dt>${t("address")}</dt><dd>${BASE}</dd>
        <dt>${t("durability")}</dt><dd>${t(server.durability)}</dd></dl>` : html`<${Loading} lines=${3} />`}<//>
      <${Card} title=${t("api")}><div class="column">
        <p><a href="api/openapi.json" target="_blank" rel="noreferrer">${t("openapi")} <${Icon} name="external" size=${12} /></a></p>
        <p class="quiet">${t("openapiHint")}</p><p class="quiet">${t("protocol")}</p></div><//>
    </div>
    <${Card} title=${t("endpoints")} class="flush"><table class="table stack"><caption class="sr-only">${t("endpoints")}</caption>
      <thead><tr><th scope="col">${t("path")}</th><th scope="col">${t("does")}</th></tr></thead>
      <tbody>${ENDPOINTS.map(([method, path, what]) => html`<tr key=${path}><td data-label=${t("path")}><span class="row"><${Tag} tone=${method === "WS" ? "info" : "neutral"}>${method}<//><code>${path}</code></span></td>
        <td data-label="">${t(what)}</td></tr>`)}</tbody></table><//>
    <div class="grid">
      <${Card} title=${t("keys")}><${KeyList} /><//>
      <${Card} title=${t("licences")}><div class="column"><dl class="facts"><dt>${t("own")}</dt><dd>Apache-2.0</dd></dl>
        <h3>${t("vendored")}</h3><p class="quiet">${t("files")}</p>
        <dl class="facts">${LIBRARIES.map(([name, licence, file]) => html`<dt key=${name}>${name}</dt><dd><a href="view/vendor/${file}.LICENSE.txt">${licence}</a></dd>`)}</dl></div><//>
    </div>
  </div>`;
}
