import { html } from "../../html.js";
import { bytes, percent } from "../../format.js";
import { Card } from "../../ui.js";
import { dataBytes, diskLow } from "./health.js";
import { part } from "./figures.js";
import { t } from "./text.js";

/** @param {{ disk: import("../../types.d.ts").Overview["disk"] }} props */
export function Storage({ disk }) {
  if (!disk) return html`<${Card} title=${t("storage")}><p class="quiet">${t("noStorage")}</p><//>`;
  const data = dataBytes(disk);
  const parts = /** @type {[string, number, string][]} */ ([
    [t("log"), disk.logBytes, "--series-1"], [t("mirror"), disk.mirrorBytes, "--series-2"], [t("snapshot"), disk.snapshotBytes, "--series-3"],
  ]);
  return html`<${Card} title=${t("storage")}><div class="storage">
    <div class="row between"><span class="quiet">${t("data")}</span><b>${bytes(data)}</b></div>
    <div class="bar parts" aria-hidden="true">${parts.map(([name, n, color]) => html`<span key=${name} style=${{ width: part(n, data), background: `var(${color})` }}></span>`)}</div>
    <ul class="legend">${parts.map(([name, n, color]) => html`<li key=${name}><span class="swatch" style=${{ background: `var(${color})` }}></span>${name} <b>${bytes(n)}</b></li>`)}</ul>
    ${disk.totalBytes > 0 && html`<div class="row between"><span class="quiet">${t("freeLabel")}</span>
      <span class=${diskLow(disk) ? "danger-text" : ""}>${t("freeOf", { free: bytes(disk.freeBytes), total: bytes(disk.totalBytes), percent: percent(disk.freeBytes / disk.totalBytes) })}</span></div>
      <div class="bar ${diskLow(disk) ? "low" : ""}" aria-hidden="true"><div style=${{ width: part(disk.freeBytes, disk.totalBytes) }}></div></div>`}
    <p class="small"><span class="quiet">${t("path")}</span> <code class="break">${disk.path}</code></p>
  </div><//>`;
}
