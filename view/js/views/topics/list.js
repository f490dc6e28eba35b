import { html } from "../../html.js";
import { ApiError, get } from "../../api.js";
import { number, percent, rate } from "../../format.js";
import { texts } from "../../i18n.js";
import { useLoad } from "../../load.js";
import { go, href, route, setParams } from "../../router.js";
import { Button, Card, Empty, ErrorState, Input, Loading, Pager, Table } from "../../ui.js";
import { Name } from "./name.js";
import { Age, State } from "./state.js";
import { useSteady } from "./steady.js";
import { useTyped } from "./typed.js";

const t = texts({
  en: {
    title: "Topics", lead: "All topics that have messages or clients.", search: "Search", searchHint: "part of the name",
    name: "Topic", waiting: "Waiting", oldest: "Oldest waiting", rate: "In", out: "Out", consumers: "Consumers", producers: "Producers", state: "State",
    share: "{part} of the largest on this page", of: "{n} {n|topic|topics}", ofPage: "Page {page} · {n} {n|topic|topics}",
    none: "No topics yet", noneHint: "A topic appears with its first message or client.", try: "Try it",
    noMatch: "No topic matches", noMatchHint: "The search looks for a part of the name, in upper or lower case.", clear: "Clear the search",
    noPage: "No topic is left on this page", firstPage: "Go to the first page", failed: "The topics could not be loaded.",
  },
  zh: {
    title: "主题", lead: "当前有消息或客户端的所有主题。", search: "搜索", searchHint: "名称的一部分",
    name: "主题", waiting: "待消费", oldest: "最早待消费", rate: "流入", out: "流出", consumers: "消费者", producers: "生产者", state: "状态",
    share: "本页最大值的 {part}", of: "共 {n} 个主题", ofPage: "第 {page} 页 · 共 {n} 个主题",
    none: "还没有主题", noneHint: "向某个主题发送消息或有客户端连接后，该主题就会出现。", try: "去调试",
    noMatch: "没有匹配的主题", noMatchHint: "按名称的一部分搜索，不区分大小写。", clear: "清除搜索",
    noPage: "本页已没有内容", firstPage: "回到首页", failed: "无法加载主题。",
  },
});

/** @typedef {import("../../types.d.ts").TopicRow} TopicRow */
/** @typedef {"asc" | "desc"} Order */

const LIMIT = 50;
const EVERY_MS = 2000;
/** What can be sorted by, and which order is meant at first: the longest waiting first, names from a to z. @type {Record<string, Order>} */
const SORTS = { waiting: "desc", name: "asc", oldest: "asc", consumers: "desc", rate: "desc" };
const FIRST_PAGE = { cursor: null, page: null };

function columns(/** @type {number} */ most) {
  /** @type {import("../../ui/table.js").ColumnOf<TopicRow>[]} */
  const all = [
    { key: "name", label: t("name"), grow: true, sortable: true, render: (row) => html`<a href=${href("Topics", row.topic)} tabIndex=${-1}><${Name} text=${row.topic} /></a>` },
    { key: "waiting", label: t("waiting"), numeric: true, sortable: true, render: (row) => html`<${Depth} n=${row.waiting} most=${most} />` },
    { key: "oldest", label: t("oldest"), numeric: true, sortable: true, render: (row) => html`<${Age} since=${row.oldestWaiting} />` },
    { key: "rate", label: t("rate"), numeric: true, sortable: true, render: (row) => orQuiet(row.rateIn, rate) },
    { key: "out", label: t("out"), numeric: true, render: (row) => orQuiet(row.rateOut, rate) },
    { key: "consumers", label: t("consumers"), numeric: true, sortable: true, render: (row) => orQuiet(row.consumers, number) },
    { key: "producers", label: t("producers"), numeric: true, secondary: true, render: (row) => orQuiet(row.producers, number) },
    { key: "state", label: t("state"), render: (row) => html`<${State} row=${row} />` },
  ];
  return all;
}

export function TopicList() {
  const { params } = route.value;
  const [search, setSearch] = useTyped("search", FIRST_PAGE);
  const by = Object.hasOwn(SORTS, params.sort ?? "") ? params.sort : "waiting";
  const order = params.order === "asc" || params.order === "desc" ? params.order : SORTS[by];
  const query = { search: params.search, sort: by, order, limit: LIMIT, cursor: params.cursor };
  const question = JSON.stringify(query);
  const { data, error, reload } = useLoad(async (signal) => {
    const { topics: rows, total, next } = /** @type {import("../../types.d.ts").TopicList} */ (await get("/api/topics", query, { signal }));
    return { question, rows, total, next };
  }, [question], { every: EVERY_MS });
  const { rows, gone, box } = useSteady(data, (row) => row.topic);
  const most = Math.max(1, ...rows.map((row) => row.waiting));

  /** @param {string} key */
  const onSort = (key) => {
    const wanted = key !== by ? SORTS[key] : order === "asc" ? "desc" : "asc";
    setParams({ ...FIRST_PAGE, sort: key === "waiting" ? null : key, order: wanted === SORTS[key] ? null : wanted });
  };
  const page = Number(params.page) || 1;

  return html`<div class="view topics"><div class="view-head"><div><h1>${t("title")}</h1><p class="lead">${t("lead")}</p></div>
      <${Input} type="search" label=${t("search")} placeholder=${t("searchHint")} fieldClass="topics-search" value=${search} onValue=${setSearch} autocomplete="off" spellcheck=${false} /></div>
    ${error !== null && html`<${ErrorState} error=${error} what=${t("failed")} onRetry=${params.cursor && error instanceof ApiError && error.status === 400 ? () => setParams(FIRST_PAGE) : reload} />`}
    ${data ? html`<${Card} class="flush"><div ...${box}>
      ${rows.length > 0 ? html`<${Table} caption=${t("title")} columns=${columns(most)} rows=${rows} rowKey=${(/** @type {TopicRow} */ row) => row.topic}
        rowClass=${(/** @type {TopicRow} */ row) => (gone.has(row.topic) ? "gone" : "")} onOpen=${(/** @type {TopicRow} */ row) => go("Topics", row.topic)}
        sort=${{ key: by, order }} onSort=${onSort} busy=${data.question !== question} />` : html`<${Nothing} clear=${() => setSearch("")} />`}</div>
      ${(data.next !== null || params.cursor || rows.length > 0) && html`<${Pager} onFirst=${params.cursor ? () => setParams(FIRST_PAGE) : null}
        onNext=${data.next === null ? null : () => { setParams({ cursor: data.next, page: page + 1 }); scrollTo(0, 0); }}>${
        params.cursor ? t("ofPage", { page, n: data.total }) : t("of", { n: data.total })}<//>`}<//>`
    : error === null && html`<${Card}><${Loading} lines=${8} /><//>`}
  </div>`;
}

/** Nothing to see where there is nothing. @param {number} n @param {(n: number) => string} format */
const orQuiet = (n, format) => (n === 0 ? html`<span class="quiet">${format(n)}</span>` : format(n));

/** @param {{ n: number, most: number }} props */
const Depth = ({ n, most }) => html`<span class="depth" title=${t("share", { part: percent(n / most) })}><span>${number(n)}</span>
  <span class="bar" aria-hidden="true"><span style=${{ width: `${(n / most) * 100}%` }}></span></span></span>`;

/** @param {{ clear: () => void }} props */
function Nothing({ clear }) {
  const { params } = route.value;
  if (params.cursor) return html`<${Empty} title=${t("noPage")}><${Button} small icon="first" onClick=${() => setParams(FIRST_PAGE)}>${t("firstPage")}<//><//>`;
  if (params.search) return html`<${Empty} title=${t("noMatch")} icon="search"><p>${t("noMatchHint")}</p><${Button} small onClick=${clear}>${t("clear")}<//><//>`;
  return html`<${Empty} title=${t("none")}><p>${t("noneHint")}</p><${Button} small kind="primary" icon="try" href=${href("Try")}>${t("try")}<//><//>`;
}
