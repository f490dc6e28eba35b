import { html, useEffect } from "../../html.js";
import { Button, Card, Empty, ErrorState } from "../../ui.js";
import { Loosen } from "./list.js";
import { listKey, queryOf } from "./query.js";
import { Rows, shortTime } from "./rows.js";
import { useSearch } from "./search.js";
import { t } from "./text.js";
import { visibleLine } from "./visible.js";

/** The messages with a text in their data, as they are found. @param {{ params: import("./query.js").Params, shown: import("./list.js").Shown, gone: import("../../../vendor/signals.js").Signal<string[]> }} props */
export function Found({ params, shown, gone }) {
  const search = useSearch(listKey({ ...params, cursor: "" }), () => ({ ...queryOf(params), text: params.q }));
  const rows = search.rows.filter((row) => !gone.value.includes(row.code));
  useEffect(() => { shown.value = rows; });
  const { phase, looked, reached } = search;
  const text = html`<strong class="cut"><bdi>${t("searchLabel", { text: visibleLine(params.q) })}</bdi></strong>`;
  const told = t(/** @type {const} */ ({ running: "foundSoFar", paused: "searchPaused", end: "searchedAll", cancelled: "cancelled", failed: "searchPaused" })[phase], { n: search.rows.length, looked });

  return html`<${Card} class="flush">
    <header class="card-head list-head"><div class="column search-told"><p class="row tight">${text}</p>
        <p class="quiet small tabular">${told}${phase !== "end" && reached !== null && ` ${t("backTo", { time: shortTime(reached) })}`}</p>
        <p class="sr-only" role="status">${phase !== "running" && told}</p></div>
      ${phase === "running" && html`<${Button} small icon="close" onClick=${search.cancel}>${t("cancel")}<//>`}
      ${(phase === "cancelled" || phase === "end") && html`<${Button} small icon="refresh" onClick=${search.again}>${t("again")}<//>`}</header>
    <div class="progress" aria-hidden="true">${phase === "running" && html`<div></div>`}</div>
    ${phase === "failed" && html`<${ErrorState} error=${search.error ?? new Error(t("interrupted"))} what=${t("searchFailed")} onRetry=${search.again} />`}
    ${rows.length > 0 && html`<${Rows} rows=${rows} />`}
    ${!rows.length && phase === "running" && html`<p class="quiet search-none">${t("notYet")}</p>`}
    ${!rows.length && phase === "end" && html`<${Empty} title=${t("noMatch")} icon="search"><${Loosen} params=${params} /><//>`}
    ${!rows.length && (phase === "paused" || phase === "cancelled") && html`<${Empty} title=${t("nothingSoFar")} icon="search">${t(phase === "paused" ? "goOnHint" : "restHint")}<//>`}
    ${phase === "paused" && html`<div class="pager"><span class="quiet">${rows.length > 0 && t("goOnHint")}</span><${Button} small icon="down" onClick=${search.goOn}>${t("goOn")}<//></div>`}<//>`;
}
