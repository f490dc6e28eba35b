import { html } from "../../html.js";
import { del } from "../../api.js";
import { bytes, number, percent, time } from "../../format.js";
import { texts } from "../../i18n.js";
import { mayChange } from "../../rights.js";
import { href } from "../../router.js";
import { Ago, confirmTopic, IconButton, Table, Tag, toast } from "../../ui.js";
import { isolated, Name } from "../topics/name.js";

const t = texts({
  en: {
    consumer: "consumer", producer: "producer", role: "Role", id: "Id", topic: "Topic", address: "Address", since: "Connected",
    messages: "Messages", key: "Key: {key}", received: "written to it", sent: "received from it", outbox: "Send buffer",
    noOutbox: "Producers have no send buffer",
    fill: "Messages: {messages}, bytes: {bytes}", disconnect: "Disconnect", disconnectThis: "Disconnect {id}",
    title: "Disconnect this client",
    willConsumer: "consumer {id} ({address}): its connection is closed; it may connect again by itself. What is still in its send buffer ({n} {n|message|messages}) and reached nobody is pushed again, to other consumers or later.",
    willProducer: "producer {id} ({address}): its connection is closed; it may connect again by itself. What it has sent stays; what is on the way without an acknowledgement may have to be sent again.",
    done: "{id} was disconnected",
  },
  zh: {
    consumer: "消费者", producer: "生产者", role: "角色", id: "ID", topic: "主题", address: "地址", since: "连接时间",
    messages: "消息数", key: "密钥：{key}", received: "已向其写入", sent: "已从其接收", outbox: "发送缓冲区", noOutbox: "生产者没有发送缓冲区",
    fill: "消息：{messages}，字节：{bytes}", disconnect: "断开", disconnectThis: "断开 {id}",
    title: "断开此客户端",
    willConsumer: "消费者 {id}（{address}）：连接将被关闭，它可能会自动重连。发送缓冲区中还有 {n} 条消息，其中尚未送达任何消费者的会重新推送给其他消费者，或稍后再推送。",
    willProducer: "生产者 {id}（{address}）：连接将被关闭，它可能会自动重连。已发送的消息保留；正在发送且未得到确认的消息可能需要重发。",
    done: "已断开 {id}",
  },
});

/** @typedef {import("../../types.d.ts").Client} Client */

/** From here a consumer is nearly too slow. */
const NEARLY_FULL = 0.8;

/** By whichever of its two limits is nearer; the tooltip tells both. @param {{ outbox: Client["outbox"] }} props */
function Outbox({ outbox }) {
  if (outbox === null) return html`<span class="quiet" title=${t("noOutbox")}>–</span>`;
  const messages = outbox.messages / outbox.messagesMax, size = outbox.bytes / outbox.bytesMax;
  const fill = Math.min(1, Math.max(messages, size)), high = fill > NEARLY_FULL;
  const ofMessages = `${number(outbox.messages)} / ${number(outbox.messagesMax)}`, ofBytes = `${bytes(outbox.bytes)} / ${bytes(outbox.bytesMax)}`;
  return html`<span class="outbox ${high ? "high" : ""}" title=${t("fill", { messages: ofMessages, bytes: ofBytes })}>
    <span class="nowrap">${high && html`<strong>${percent(fill)}</strong> `}<span class="quiet">${size > messages ? ofBytes : ofMessages}</span></span>
    <span class="bar" aria-hidden="true"><span style=${{ width: `${fill * 100}%` }}></span></span></span>`;
}

/** Asks, and says what happens. @param {Client} client @returns {Promise<boolean>} */
async function disconnect(client) {
  const id = isolated(client.id);
  const will = client.role === "consumer" ? t("willConsumer", { id, address: client.ip, n: client.outbox?.messages ?? 0 }) : t("willProducer", { id, address: client.ip });
  const done = await confirmTopic({
    title: t("title"), will, topic: client.topic, action: t("disconnect"),
    run: () => del(`/api/clients/${client.number}`, { confirm: client.topic }),
  });
  if (done) toast(t("done", { id }));
  return done;
}

/** @param {{ caption: string, clients: Client[], gone: Set<string | number>, withTopic?: boolean, busy?: boolean, onChanged: () => void }} props */
export function ClientTable({ caption, clients, gone, withTopic = false, busy, onChanged }) {
  /** @type {import("../../ui/table.js").ColumnOf<Client>[]} */
  const columns = [
    { key: "id", label: t("id"), grow: !withTopic, cut: withTopic, render: (one) => html`<${Name} text=${one.id} />` },
    { key: "role", label: t("role"), render: (one) => html`<${Tag} tone=${one.role === "consumer" ? "info" : "neutral"}>${t(one.role)}<//>` },
    { key: "topic", label: t("topic"), cut: true, render: (one) => html`<a href=${href("Topics", one.topic)}><${Name} text=${one.topic} /></a>` },
    { key: "address", label: t("address"), render: (one) => html`<code class="address-cell" title=${t("key", { key: one.key })}>${one.ip}</code>` },
    { key: "since", label: t("since"), render: (one) => html`<span class="since nowrap"><${Ago} at=${one.since} /><span class="quiet small">${time(one.since)}</span></span>` },
    { key: "messages", label: t("messages"), numeric: true, render: (one) => html`<span title=${t(one.role === "consumer" ? "received" : "sent")}>${number(one.messages)}</span>` },
    { key: "outbox", label: t("outbox"), render: (one) => html`<${Outbox} outbox=${one.outbox} />` },
    ...(mayChange.value ? [disconnects(onChanged)] : []),
  ];
  return html`<div class="client-table"><${Table} caption=${caption} rows=${clients} busy=${busy} columns=${withTopic ? columns : columns.filter((one) => one.key !== "topic")}
    rowKey=${(/** @type {Client} */ one) => one.number} rowClass=${(/** @type {Client} */ one) => (gone.has(one.number) ? "gone" : "")} /></div>`;
}

/** @param {() => void} onChanged @returns {import("../../ui/table.js").ColumnOf<Client>} */
const disconnects = (onChanged) => ({
  key: "disconnect", label: t("disconnect"),
  render: (one) => html`<${IconButton} icon="close" label=${t("disconnectThis", { id: isolated(one.id) })}
    onClick=${async () => { if (await disconnect(one)) onChanged(); }} />`,
});
