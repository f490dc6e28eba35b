import { html } from "../../html.js";
import { texts } from "../../i18n.js";
import { route, setParams } from "../../router.js";
import { Card, CopyButton, Tabs } from "../../ui.js";
import { curl, javascript, pythons, socketUrl } from "./snippets.js";

const t = texts({
  en: {
    title: "How to connect", key: "YOUR_KEY stands for the server’s key. The topic is the one chosen above; replace my-consumer with your own id.",
    tabs: "Ways to connect",
    http: "HTTP", socket: "WebSocket", send: "Send a message", consumer: "Consumer", producer: "Producer", acked: "Producer, every message acknowledged",
    steps: "The server’s first frame asks for the key. Answer with it in one text frame; after “Secret key matching succeeded” a consumer gets one frame of JSON for each message, and every frame of a producer is a message.",
    ack: "With ?ack=1 each message is answered once it is on disk. Without it the server sends nothing back.", copy: "Copy: {what}",
    runs: "Runs in browsers, Node.js 22 or newer, Deno and Bun.",
  },
  zh: {
    title: "如何连接", key: "YOUR_KEY 代表服务器密钥。主题取自上方所选；请把 my-consumer 换成自己的 ID。", tabs: "连接方式",
    http: "HTTP", socket: "WebSocket", send: "发送消息", consumer: "消费者", producer: "生产者", acked: "生产者，逐条确认",
    steps: "服务器的第一帧会询问密钥，用一个文本帧回复即可；收到“Secret key matching succeeded”后，消费者每条消息收到一帧 JSON，生产者发出的每一帧就是一条消息。",
    ack: "带 ?ack=1 时，每条消息落盘后都会得到应答；不带时服务器不返回任何内容。", copy: "复制：{what}",
    runs: "可在浏览器、Node.js 22 或更高版本、Deno 和 Bun 中运行。",
  },
});

const WAYS = ["http", "socket", "javascript", "python"];

/** @param {{ topic: string }} props */
export function Connect({ topic }) {
  const { how = "http" } = route.value.params;
  const way = WAYS.includes(how) ? how : "http";
  const tabs = [{ id: "http", label: t("http") }, { id: "socket", label: t("socket") }, { id: "javascript", label: "JavaScript" }, { id: "python", label: "Python" }];
  return html`<${Card} title=${t("title")} class="connect"><${Tabs} label=${t("tabs")} tabs=${tabs} selected=${way} onSelect=${(/** @type {string} */ id) => setParams({ how: id === "http" ? null : id }, { replace: true })}>
    <div class="column"><${Way} way=${way} topic=${topic || "my_topic"} /><p class="quiet small">${t("key")}</p></div><//><//>`;
}

/** @param {{ way: string, topic: string }} props */
function Way({ way, topic }) {
  if (way === "http") return html`<${Snippet} title=${t("send")} code=${curl(topic)} />`;
  if (way === "socket") return html`<p>${t("steps")}</p>
    <${Snippet} title=${t("consumer")} code=${socketUrl("consumer", topic)} /><${Snippet} title=${t("producer")} code=${socketUrl("producer", topic)} />
    <${Snippet} title=${t("acked")} code=${socketUrl("producer", topic, { ack: "1" })} /><p class="quiet small">${t("ack")}</p>`;
  const { consumer, producer } = way === "javascript" ? javascript(topic) : pythons(topic);
  return html`<div class="snippets"><${Snippet} title=${t("consumer")} code=${consumer} /><${Snippet} title=${t("acked")} code=${producer} /></div>
    ${way === "javascript" && html`<p class="quiet small">${t("runs")}</p>`}`;
}

/** @param {{ title: string, code: string }} props */
const Snippet = ({ title, code }) => html`<div class="snippet"><div class="row between"><h3>${title}</h3><${CopyButton} text=${code} label=${t("copy", { what: title })} /></div>
  <pre class="snippet-code" dir="ltr">${code}</pre></div>`;
