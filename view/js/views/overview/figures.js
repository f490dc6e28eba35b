import { html } from "../../html.js";
import { bytes, compact, number, rate } from "../../format.js";
import { href } from "../../router.js";
import { Stat } from "../../ui.js";
import { dataBytes, diskLow, queueHigh } from "./health.js";
import { t } from "./text.js";

/** @typedef {import("../../ui/basic.js").Children} Children */

/** Each number leads to the view that tells more. @param {{ server: import("../../types.d.ts").Overview }} props */
export function Figures({ server }) {
  const { rates, backlog, clients, memory, disk } = server;
  const link = (/** @type {string} */ label, /** @type {string} */ to) => html`<a href=${to}>${label}</a>`;
  return html`<dl class="stats overview-stats ${server.pacePerSecond === null ? "" : "paced"}" aria-label=${t("figures")}>
    <${Stat} label=${link(t("accepted"), href("Messages"))} value=${rate(rates.accepted)} hint=${t("mean")} />
    <${Stat} label=${link(t("delivered"), href("Clients", null, { role: "consumer" }))} value=${rate(rates.delivered)} hint=${t("deliveredHint")} />
    <${Stat} label=${link(t("consumed"), href("Messages", null, { status: "consumed" }))} value=${rate(rates.consumed)} hint=${t("mean")} />
    <${Stat} label=${link(t("queue"), href("Config", null, { q: "messageChanBuffer" }))} value=${number(backlog.queued)} tone=${queueHigh(backlog) ? "warn" : undefined}
      hint=${html`${t("ofCapacity", { capacity: backlog.queueCapacity })}<span class="bar" aria-hidden="true"><span style=${{ width: part(backlog.queued, backlog.queueCapacity) }}></span></span>`} />
    ${server.pacePerSecond !== null && html`<${Stat} label=${link(t("pace"), href("Config", null, { q: "pushMessagesSpeed" }))} value=${rate(server.pacePerSecond)} hint=${t("paceHint")} />`}
    <${Stat} label=${link(t("behind"), href("Topics"))} value=${number(backlog.topicsBehind)} tone=${backlog.topicsBehind > 0 ? "warn" : undefined}
      hint=${t(backlog.topicsBehind > 0 ? "behindSome" : "behindNone")} />
    <${Stat} label=${link(t("consumers"), href("Clients", null, { role: "consumer" }))} value=${number(clients.consumers)} hint=${t("connected")} />
    <${Stat} label=${link(t("producers"), href("Clients", null, { role: "producer" }))} value=${number(clients.producers)} hint=${t("connected")} />
    <${Stat} label=${link(t("topics"), href("Topics"))} value=${number(server.topics)} hint=${t("topicsHint")} />
    <${Stat} label=${link(t("memory"), href("Config", null, { q: "memory" }))} value=${memory.residentBytes === null ? "–" : bytes(memory.residentBytes)} hint=${t(memory.residentBytes === null ? "notKnown" : "memoryHint")} />
    <${Stat} label=${link(t("disk"), href("Config", null, { q: "persistent" }))} value=${disk ? bytes(dataBytes(disk)) : "–"} tone=${diskLow(disk) ? "warn" : undefined}
      hint=${!disk ? t("noDisk") : disk.totalBytes > 0 ? t("free", { free: bytes(disk.freeBytes) }) : t("notKnown")} />
  </dl>`;
}

/** A width; what is there at all can be seen. @param {number} n @param {number} all */
export const part = (n, all) => (n > 0 && all > 0 ? `max(2px, ${Math.min(100, (n / all) * 100)}%)` : "0");

/** For charts of whole things: an axis up to 1 has no halves. @param {number} n */
export const count = (n) => (Number.isInteger(n) ? compact(n) : "");
