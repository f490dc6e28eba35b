import { html } from "../../html.js";
import { get } from "../../api.js";
import { number } from "../../format.js";
import { useLoad } from "../../load.js";
import { href } from "../../router.js";
import { Card, Table } from "../../ui.js";
import { Name } from "../topics/name.js";
import { Age, State } from "../topics/state.js";
import { t } from "./text.js";

/** @typedef {import("../../types.d.ts").Attention} Attention */
/** @typedef {import("../../types.d.ts").ConcernedTopic} Concerned */
/** @typedef {import("../../types.d.ts").Overview} Overview */

const EVERY_MS = 3000;
const ROWS = 10, NAMED = 3;

/** @param {Overview} server */
const concerns = ({ backlog }) => backlog.topicsBehind > 0 || (backlog.withoutConsumer?.topics ?? 0) > 0;

/** The topics to look at, as long as there are any. @param {Overview} server @returns {Attention | null} */
export function useAttention(server) {
  const any = concerns(server);
  const { data } = useLoad(async (signal) => (any ? /** @type {Attention} */ (await get("/api/attention", {}, { signal })) : null), [any], { every: any ? EVERY_MS : undefined });
  return any ? data : null;
}

/** The first of them by name: "orders, bills and 5 more". @param {{ attention: Attention | null, reason: Concerned["reason"], total: number }} props */
export function Names({ attention, reason, total }) {
  const named = attention?.topics.filter((one) => one.reason === reason).slice(0, NAMED) ?? [];
  return named.length > 0 && html`<p>${named.map(({ topic }, i) => html`${i > 0 && t("comma")}<a key=${topic} href=${href("Topics", topic)}><${Name} text=${topic} wrap /></a>`)}${
    total > named.length && html` <a href=${href("Topics")}>${t("andMore", { n: total - named.length })}</a>`}</p>`;
}

/** @returns {import("../../ui/table.js").ColumnOf<Concerned>[]} */
const columns = () => [
  { key: "topic", label: t("topic"), grow: true, render: (one) => html`<a href=${href("Topics", one.topic)}><${Name} text=${one.topic} /></a>` },
  { key: "state", label: t("state"), render: (one) => html`<${State} row=${one} />` },
  { key: "waiting", label: t("waiting"), numeric: true, render: (one) => number(one.waiting) },
  { key: "oldest", label: t("oldestWaiting"), numeric: true, render: (one) => html`<${Age} since=${one.oldestWaiting} />` },
  { key: "consumers", label: t("consumers"), numeric: true, render: (one) => number(one.consumers) },
];

/** @param {{ attention: Attention | null }} props */
export function AttentionList({ attention }) {
  if (!attention || attention.topics.length === 0) return null;
  const rows = attention.topics.slice(0, ROWS);
  return html`<${Card} class="flush attention" title=${t("attention")}>
    <${Table} caption=${t("attention")} columns=${columns()} rows=${rows} rowKey=${(/** @type {Concerned} */ one) => one.topic} />
    ${attention.total > rows.length && html`<p class="table-foot"><a href=${href("Topics")}>${t("allTopics", { n: attention.total })}</a></p>`}<//>`;
}
