import { html } from "../../html.js";
import { duration, time } from "../../format.js";
import { texts } from "../../i18n.js";
import { now } from "../../live.js";
import { Tag } from "../../ui.js";

const t = texts({
  en: { idle: "idle", flowing: "flowing", waiting: "waiting", nobody: "no consumer", behind: "consumers too slow", paced: "limited by the pace, about {time}" },
  zh: { idle: "空闲", flowing: "消费中", waiting: "等待推送", nobody: "无消费者", behind: "消费过慢", paced: "推送限速，约 {time}" },
});

/** @typedef {import("../../types.d.ts").TopicRow} TopicRow */

const TONES = /** @type {const} */ ({ idle: "neutral", flowing: "good", waiting: "info", paced: "info", nobody: "warn", behind: "bad" });

/** What is the matter with a topic, the worst first. @param {TopicRow} row @returns {keyof typeof TONES} */
export function stateOf(row) {
  if (row.behind) return "behind";
  if (row.waiting > 0 && row.consumers === 0) return "nobody";
  if (row.paceSeconds !== null) return "paced";
  if (row.rateIn > 0 || row.rateOut > 0) return "flowing";
  return row.waiting > 0 ? "waiting" : "idle";
}

/** @param {{ row: TopicRow }} props */
export function State({ row }) {
  const state = stateOf(row);
  return html`<${Tag} tone=${TONES[state]}>${t(state, { time: duration(row.paceSeconds ?? 0) })}<//>`;
}

/** How long ago, kept true: "2 h 5 min". @param {{ since: number | null }} props */
export const Age = ({ since }) => since === null ? html`<span class="quiet">–</span>`
  : html`<time class="nowrap" dateTime=${new Date(since * 1000).toISOString()} title=${time(since)}>${duration(now.value - since)}</time>`;
