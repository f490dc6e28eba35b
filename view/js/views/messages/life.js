import { html, useState } from "../../html.js";
import { advice } from "../../advice.js";
import { duration, relative, time, timeMs } from "../../format.js";
import { now } from "../../live.js";
import { href } from "../../router.js";
import { Ago, Button, Card, Icon } from "../../ui.js";
import { t } from "./text.js";
import { inSentence, visibleLine } from "./visible.js";

/** @typedef {import("../../types.d.ts").MessageDetail} MessageDetail */
/** @typedef {import("../../types.d.ts").Push} Push */

const NEWEST = 5;

/** What happened to it and what will, from the top to the bottom. @param {{ message: MessageDetail }} props */
export function Life({ message }) {
  const { created, consumed, life } = message;
  const [all, setAll] = useState(false);
  const pushes = all ? life.pushes : life.pushes.slice(-NEWEST);
  const hidden = life.pushes.length - pushes.length;
  return html`<${Card} level=${3} title=${t("life")}><ol class="timeline">
    <${Step} tone="done" title=${t("accepted")} at=${created}><p class="quiet">${t("acceptedHint")}</p><//>
    ${created < life.pushesSince && html`<${Step}><p class="quiet">${t("forgotten", { time: time(life.pushesSince) })}</p><//>`}
    ${hidden > 0 && html`<${Step}><${Button} small icon="up" onClick=${() => setAll(true)}>${t("earlier", { n: hidden })}<//><//>`}
    ${pushes.map((push, i) => html`<${Handed} key=${`${push.atMs} ${i}`} push=${push} />`)}
    ${message.status === "consumed" ? html`<${Step} tone="good" title=${t("isConsumed")} at=${consumed ?? undefined}>
        ${consumed !== null && html`<p class="quiet">${consumed > created ? t("afterwards", { time: duration(consumed - created) }) : t("atOnce")}</p>`}<//>`
      : life.waiting && html`<${Step} tone="warn" title=${t("waiting")}><${Why} waiting=${life.waiting} topic=${message.topic} /><//>`}
    <${Step} title=${t("expires")}><p>${life.expires === null ? t("never") : life.expires <= now.value ? t("expiresSoon")
      : html`<time dateTime=${new Date(life.expires * 1000).toISOString()}>${time(life.expires)}</time> <span class="quiet">${relative(life.expires, now.value)}</span>`}</p><//>
  </ol><//>`;
}

/** @param {{ title?: string, at?: number, tone?: "done" | "good" | "warn" | "bad", children?: import("../../ui/basic.js").Children }} props */
const Step = ({ title, at, tone = /** @type {any} */ ("later"), children }) => html`<li class=${tone}>
  ${title && html`<p class="row step-head"><strong>${title}</strong>${at !== undefined && html`<span class="tabular">${time(at)}</span><span class="quiet"><${Ago} at=${at} /></span>`}</p>`}
  ${children}</li>`;

/** @param {{ push: Push }} props */
function Handed({ push }) {
  const { consumersTotal: total, written, failed } = push;
  const pending = total - written - failed;
  return html`<li class=${written > 0 ? "done" : failed > 0 ? "bad" : "warn"}>
    <p class="row step-head"><strong>${t("handed", { n: total })}</strong><span class="tabular">${timeMs(push.atMs)}</span></p>
    <p>${t("written", { written, total })}${pending > 0 && html` · ${t("pending", { n: pending })}`}${failed > 0 && html` · <span class="danger-text">${t("failed", { n: failed })}</span>`}</p>
    <ul class="handed-to">${push.consumers.map((one) => html`<li key=${one.number}><bdi class="break">${visibleLine(one.id)}</bdi> <span class="quiet">${one.ip} · #${one.number}</span></li>`)}
      ${total > push.consumers.length && html`<li class="quiet">${t("andMore", { n: total - push.consumers.length })}</li>`}</ul></li>`;
}

/** Why it waits, and what to do. @param {{ waiting: import("../../types.d.ts").Waiting, topic: string }} props */
function Why({ waiting, topic }) {
  const words = waiting.reason === "queued" ? (waiting.ahead > 0 ? t("queued", { ahead: waiting.ahead }) : t("queuedNext"))
    : waiting.reason === "next_check" ? t("next_check", { time: duration(waiting.seconds) })
    : t(waiting.reason, { topic: inSentence(topic) });
  return html`<div class="note warn why"><div><p class="break">${words}</p>
    ${waiting.reason === "behind" && html`<p>${advice("behind")}</p>`}${waiting.reason === "no_consumer" && html`<p>${advice("nobody")}</p>`}
    ${["outbox", "behind", "no_consumer"].includes(waiting.reason) && html`<p><a href=${href("Clients", null, { topic })}>${t("clientsOf")} <${Icon} name="next" size=${10} /></a></p>`}
    ${waiting.reason === "no_re_push" && html`<p><a href=${href("Config")}>${t("settings")} <${Icon} name="next" size=${10} /></a></p>`}</div></div>`;
}
