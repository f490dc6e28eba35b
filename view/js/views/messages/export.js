import { html, useState } from "../../html.js";
import { at } from "../../address.js";
import { get, post } from "../../api.js";
import { useLoad } from "../../load.js";
import { overview } from "../../live.js";
import { Button, Dialog, ErrorState, Segments, toast } from "../../ui.js";
import { save } from "./data.js";
import { filtersOf, queryOf } from "./query.js";
import { t } from "./text.js";

/** @typedef {import("./query.js").Params} Params */
/** @typedef {import("../../types.d.ts").Counts} Counts */

/** How many match, where counts tell it without looking at messages. @param {Params} params */
function useCount(params) {
  const { topic, status, from, to } = queryOf(params);
  const countable = !params.q && from === undefined && to === undefined;
  const { data } = useLoad(async (signal) => (countable && topic
    ? /** @type {import("../../types.d.ts").TopicDetail} */ (await get("/api/topic", { topic }, { signal })).counts : null), [topic, countable]);
  /** @type {Counts | null | undefined} */
  const counts = !countable ? null : topic ? data : overview.value?.counts;
  if (!counts) return null;
  return status === "not_consumed" ? counts.notConsumed : status ? counts[status] : counts.all;
}

/** @param {{ params: Params, onClose: () => void }} props */
export function Export({ params, onClose }) {
  const [format, setFormat] = useState(/** @type {"csv" | "ndjson"} */ ("csv"));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const count = useCount(params);
  const filters = filtersOf(params);

  async function run() {
    setBusy(true);
    setError(null);
    try {
      const { url } = /** @type {import("../../types.d.ts").ExportReply} */ (await post("/api/exports", { format, ...queryOf(params), text: params.q || undefined }));
      save(at(url), "");
      onClose();
      toast(t("exportStarted"));
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return html`<${Dialog} title=${t("exportTitle")} onClose=${onClose}><div class="column">
    <p>${t(filters.length ? "exportAll" : "exportEverything")}</p>
    ${filters.length > 0 && html`<dl class="facts" aria-label=${t("matching")}>${filters.map(({ name, what }) => html`<dt key=${name}>${name}</dt><dd><bdi>${what}</bdi></dd>`)}</dl>`}
    <p><strong>${count === null ? t("exportUnknown") : t("exportCount", { n: count })}</strong></p>
    <div class="column export-format"><${Segments} label=${t("format")} value=${format} onValue=${setFormat} options=${[{ value: "csv", label: "CSV" }, { value: "ndjson", label: "NDJSON" }]} />
      <p class="field-hint">${t(format === "csv" ? "csvHint" : "ndjsonHint")}</p></div>
    ${error !== null && html`<${ErrorState} error=${error} what=${t("exportFailed")} />`}
    <div class="row end"><${Button} onClick=${onClose}>${t("cancel")}<//><${Button} kind="primary" icon="download" busy=${busy} onClick=${run}>${t("export")}<//></div></div><//>`;
}
