import { html, useEffect, useRef } from "../../html.js";
import { get } from "../../api.js";
import { useLoad } from "../../load.js";
import { href, setParams } from "../../router.js";
import { Button, Card, Empty, ErrorState, Icon, Loading } from "../../ui.js";
import { filtersOf, listKey, NO_FILTERS, queryOf } from "./query.js";
import { Rows } from "./rows.js";
import { t } from "./text.js";

/** @typedef {import("../../types.d.ts").MessageRow} MessageRow */
/** @typedef {import("../../types.d.ts").MessageList} MessageList */
/** @typedef {import("./query.js").Params} Params */
/** @typedef {import("../../../vendor/signals.js").Signal<MessageRow[]>} Shown the rows that are listed: the neighbours of the open message */

const LIMIT = 50;
const POLL_MS = 3000;

/**
 * What stands in the list stays until the reader asks for the newer ones; only its rows are kept up to date.
 * @param {Params} params @param {() => boolean} held is the reader at the rows?
 */
function useStanding(params, held) {
  const key = listKey(params);
  const { data: latest, error, loading, reload } = useLoad(
    async (signal) => ({ key, list: /** @type {MessageList} */ (await get("/api/messages", { ...queryOf(params), limit: LIMIT, cursor: params.cursor }, { signal })) }),
    [key], { every: POLL_MS });
  const standing = useRef(/** @type {typeof latest} */ (null));

  const old = standing.current;
  if (latest && latest !== old) {
    const fresh = new Map(latest.list.messages.map((row) => [row.code, row]));
    const follows = params.live === "1" && !held();
    standing.current = !old || latest.key !== old.key || follows || !old.list.messages.length ? latest
      : { key, list: { ...old.list, messages: old.list.messages.map((row) => fresh.get(row.code) ?? row) } };
  }
  const first = standing.current?.list.messages[0]?.sequence ?? 0;
  const newer = !params.cursor && latest?.key === standing.current?.key ? latest?.list.messages.filter((row) => row.sequence > first).length ?? 0 : 0;
  return { list: standing.current?.list ?? null, current: standing.current?.key === key, newer, error, loading, reload, show: () => { standing.current = latest; } };
}

/** @param {{ params: Params, shown: Shown, gone: import("../../../vendor/signals.js").Signal<string[]> }} props */
export function Newest({ params, shown, gone }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const held = () => Boolean(box.current?.matches(":hover") || box.current?.contains(document.activeElement));
  const { list, current, newer, error, reload, show } = useStanding(params, held);
  const rows = list?.messages.filter((row) => !gone.value.includes(row.code)) ?? [];
  useEffect(() => { shown.value = rows; });
  const live = params.live === "1";

  const head = html`<header class="card-head list-head"><p class="quiet" role="status">${newer > 0
      ? html`<${Button} small icon="up" onClick=${() => { show(); reload(); }}>${t(newer >= LIMIT ? "moreThan" : "more", { n: newer })}<//>`
      : t(params.cursor ? "olderPage" : "newestFirst")}</p>
    ${!params.cursor && html`<${Button} kind="quiet" small icon=${live ? "pause" : "play"} aria-pressed=${live ? "true" : "false"}
      title=${t("liveHint")} onClick=${() => setParams({ live: live ? null : "1" }, { replace: true })}>${t("live")}<//>`}</header>`;

  let inside;
  if (error && !current) inside = html`<${ErrorState} error=${error} what=${t("listFailed")} onRetry=${reload} />`;
  else if (!list) inside = html`<${Loading} lines=${8} />`;
  else if (!rows.length && current) inside = html`<${Nothing} params=${params} />`;
  else inside = html`<div ref=${box}><${Rows} rows=${rows} busy=${!current} /></div>`;

  return html`<${Card} class="flush">${head}${inside}
    ${list && (rows.length > 0 || params.cursor) && html`<nav class="pager" aria-label=${t("newest")}><span class="quiet">${t("page", { n: rows.length })}</span>
      <${Button} small icon="first" disabled=${!params.cursor} onClick=${() => setParams({ cursor: null })}>${t("newest")}<//>
      <${Button} small icon="next" disabled=${!list.next || !current} onClick=${() => { setParams({ cursor: list.next }); scrollTo(0, 0); }}>${t("older")}<//></nav>`}<//>`;
}

/** @param {{ params: Params }} props */
function Nothing({ params }) {
  return filtersOf(params).length ? html`<${Empty} title=${t("noMatch")} icon="filter"><${Loosen} params=${params} /><//>`
    : html`<${Empty} title=${t("none")}><p>${t("noneHint")} <a href=${href("Try")}>${t("tryIt")}</a></p><//>`;
}

/** What to take away so that more matches. @param {{ params: Params }} props */
export function Loosen({ params }) {
  const filters = filtersOf(params);
  return html`<p>${t("noMatchHint")}</p><div class="row loosen">${filters.map(({ name, what, without }) => html`<button type="button" key=${name} class="button small"
      aria-label=${t("remove", { what: `${name} ${what}` })} onClick=${() => setParams(without)}><span class="cut">${name}: <bdi>${what}</bdi></span><${Icon} name="close" size=${12} /></button>`)}
    ${filters.length > 1 && html`<${Button} kind="quiet" small onClick=${() => setParams(NO_FILTERS)}>${t("clear")}<//>`}</div>`;
}
