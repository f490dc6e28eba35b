import { html, useMemo, useState } from "../../html.js";
import { bytes } from "../../format.js";
import { Button, Card, CopyButton, Icon, Tabs, toast } from "../../ui.js";
import { jsonKind } from "./json.js";
import { JsonView } from "./jsonview.js";
import { t } from "./text.js";
import { hasHidden, head, isBlank, visible } from "./visible.js";

/** @typedef {import("../../types.d.ts").MessageDetail} MessageDetail */

const STATUS = { accepted: -1, not_consumed: 0, consumed: 1 };

/** As a consumer gets it. @param {MessageDetail} message */
const frameOf = (message) => JSON.stringify({
  MessageCode: message.code, MessageData: message.data, Topic: message.topic, CreateTime: message.created, ConsumedTime: message.consumed ?? 0, Status: STATUS[message.status],
});

const FIRST = 64 * 1024;
const CHUNK = 16 * 1024;

/** @param {{ message: MessageDetail, as: string | undefined, onAs: (as: string) => void }} props `as`: text, json or hex */
export function Data({ message, as, onAs }) {
  const { data, bytes: size } = message;
  const kind = useMemo(() => jsonKind(data), [data]);
  const tabs = ["Text", ...(kind ? ["JSON"] : []), "Hex"].map((label) => ({ id: label.toLowerCase(), label: t(/** @type {"Text"} */ (label)) }));
  const selected = tabs.find((tab) => tab.id === as)?.id ?? (kind === "container" ? "json" : "text");
  return html`<${Card} level=${3} title=${html`${t("data")} <span class="quiet">${bytes(size)}</span>`}
      actions=${html`<${CopyButton} text=${data} label=${t("copyData")} withText />
        <${CopyButton} text=${() => frameOf(message)} label=${t("copyFrame")} withText />
        <${Button} small icon="download" onClick=${() => download(message, kind !== null)}>${t("download")}<//>`}>
    ${!message.dataComplete && html`<p class="note warn"><${Icon} name="warn" />${t("incomplete")}</p>`}
    <${Tabs} label=${t("asData")} tabs=${tabs} selected=${selected} onSelect=${onAs}>
      ${selected === "json" ? html`<${JsonView} key=${message.code} text=${data} />`
        : selected === "hex" ? html`<${HexView} key=${message.code} data=${data} size=${size} />`
        : html`<${TextView} key=${message.code} data=${data} />`}<//><//>`;
}

/** @param {{ data: string }} props */
function TextView({ data }) {
  const [all, setAll] = useState(false);
  const shown = all ? data : head(data, FIRST);
  const chunks = useMemo(() => chunksOf(shown), [shown]);
  return html`<div class="data-text mono">${chunks.map((chunk, i) => html`<div key=${i}>${visible(chunk)}</div>`)}</div>
    ${shown.length < data.length && html`<${Part} shown=${shown.length} all=${data.length} label=${t("showAll")} onMore=${() => setAll(true)} />`}
    ${isBlank(shown) ? html`<p class="quiet small data-hint">${t("blank")}</p>` : hasHidden(shown) && html`<p class="quiet small data-hint">${t("controls")}</p>`}`;
}

/** Blocks that are laid out only when they come into view; cut at the end of a line where there is one. @param {string} text */
function chunksOf(text) {
  const chunks = [];
  for (let at = 0; at < text.length;) {
    const chunk = head(text.slice(at, at + CHUNK), CHUNK);
    const line = at + chunk.length < text.length ? chunk.lastIndexOf("\n") : -1;
    chunks.push(line > 0 ? chunk.slice(0, line) : chunk);
    at += line > 0 ? line + 1 : chunk.length;
  }
  return chunks;
}

/** @param {{ data: string, size: number }} props */
function HexView({ data, size }) {
  const [limit, setLimit] = useState(FIRST);
  const [wide] = useState(() => matchMedia("(min-width: 720.1px)").matches);
  const lines = useMemo(() => hexOf(new TextEncoder().encode(data.slice(0, limit + 1)).subarray(0, limit), wide ? 16 : 8), [data, limit, wide]);
  return html`<pre class="data-hex" tabIndex=${0} aria-label=${t("offset")}>${lines}</pre>
    ${limit < size && html`<${Part} shown=${limit} all=${size} label=${t("showMore")} onMore=${() => setLimit(limit * 4)} />`}`;
}

/** @param {Uint8Array} data @param {number} width */
function hexOf(data, width) {
  const lines = [];
  for (let at = 0; at < data.length; at += width) {
    const row = Array.from(data.subarray(at, at + width));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(width * 3 - 1);
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("")}`);
  }
  return lines.join("\n");
}

/** @param {{ shown: number, all: number, label: string, onMore: () => void }} props */
const Part = ({ shown, all, label, onMore }) => html`<div class="row data-part"><span class="quiet">${t("shownPart", { shown: bytes(shown), all: bytes(all) })}</span>
  <${Button} small icon="down" onClick=${onMore}>${label}<//></div>`;

/** @param {MessageDetail} message @param {boolean} json */
function download({ code, data }, json) {
  const address = URL.createObjectURL(new Blob([data], { type: json ? "application/json" : "text/plain;charset=utf-8" }));
  save(address, `message-${code}.${json ? "json" : "txt"}`);
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  toast(t("exportStarted"));
}

/** @param {string} address @param {string} name the server's name for it goes first */
export function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}
