import { html, useEffect } from "../../html.js";
import { bytes, relative, time } from "../../format.js";
import { now } from "../../live.js";
import { go, route } from "../../router.js";
import { CopyButton, StatusTag, Table } from "../../ui.js";
import { t } from "./text.js";
import { visibleLine } from "./visible.js";

/** @typedef {import("../../types.d.ts").MessageRow} MessageRow */

/** Of today only the time, so that the newest are read at a glance. @param {number} unix */
export const shortTime = (unix) => (time(unix).slice(0, 10) === time(now.peek()).slice(0, 10) ? time(unix, "time") : time(unix));

/** @param {number} unix */
export const bothTimes = (unix) => `${time(unix)} · ${relative(unix, now.peek())}`;

/** @type {import("../../ui/table.js").ColumnOf<MessageRow>[]} */
const COLUMNS = [
  { key: "status", label: "", render: (row) => html`<${StatusTag} status=${row.status} />` },
  { key: "created", label: "", render: (row) => html`<time class="nowrap tabular" dateTime=${new Date(row.created * 1000).toISOString()} title=${bothTimes(row.created)}>${shortTime(row.created)}</time>` },
  { key: "topic", label: "", cut: true, render: (row) => html`<bdi title=${row.topic}>${visibleLine(row.topic)}</bdi>` },
  { key: "data", label: "", grow: true, render: (row) => html`<code class="preview"><bdi>${visibleLine(row.preview)}</bdi>${row.previewComplete ? "" : "…"}</code>` },
  { key: "size", label: "", numeric: true, secondary: true, render: (row) => bytes(row.bytes) },
  { key: "code", label: "", render: (row) => html`<span class="row tight code-cell"><code title=${row.code}>${row.code.slice(0, 8)}…</code><${CopyButton} text=${row.code} label=${t("copyCode")} /></span>` },
];

/** @param {{ rows: MessageRow[], busy?: boolean }} props */
export function Rows({ rows, busy }) {
  const { id } = route.value;
  const columns = COLUMNS.map((column) => ({ ...column, label: t(/** @type {"topic"} */ (column.key)) }));
  useEffect(() => { document.querySelector("tr.selected")?.scrollIntoView({ block: "nearest" }); }, [id]);
  return html`<${Table} caption=${t("caption")} columns=${columns} rows=${rows} rowKey=${(/** @type {MessageRow} */ row) => row.code} busy=${busy}
    rowClass=${(/** @type {MessageRow} */ row) => (row.code === id ? "selected" : "")} onOpen=${(/** @type {MessageRow} */ row) => go("Messages", row.code, route.peek().params)} />`;
}
