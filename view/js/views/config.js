import { html } from "../html.js";
import { get } from "../api.js";
import { useLoad } from "../load.js";
import { href, route, setParams } from "../router.js";
import { Button, Card, Checkbox, CopyButton, Empty, ErrorState, Input, Loading, Table, Tag } from "../ui.js";
import { bySection, isChanged, matches, partsOf, readable, toYaml } from "./config/settings.js";
import { meaningOf, sectionName, t } from "./config/text.js";

/** @typedef {import("../types.d.ts").Setting} Setting */

export default function Config() {
  const { data, error, loading, reload } = useLoad((signal) => get("/api/config", {}, { signal }), []);
  const settings = /** @type {Setting[] | undefined} */ (data?.settings);
  const changed = settings?.filter(isChanged) ?? [];
  return html`<div class="view">
    <div class="view-head config-head"><div><h1>${t("title")}</h1><p class="lead">${t("lead")}</p></div>
      ${changed.length > 0 && html`<div class="actions"><${CopyButton} text=${() => toYaml(changed)} label=${t("copyYaml")} withText /></div>`}</div>
    ${settings ? html`<${Settings} settings=${settings} changed=${changed.length} />`
      : error && !loading ? html`<${ErrorState} error=${error} what=${t("failed")} onRetry=${reload} />` : html`<${Loading} lines=${8} />`}
  </div>`;
}

/** @param {{ settings: Setting[], changed: number }} props */
function Settings({ settings, changed }) {
  const { q = "", changed: only } = route.value.params;
  const shown = settings.filter((one) => (only !== "1" || isChanged(one)) && matches(one, meaningOf(one), q.trim()));
  return html`<div class="config-filters">
      <${Input} type="search" label=${t("filter")} placeholder=${t("filterHint")} value=${q} onValue=${(/** @type {string} */ text) => setParams({ q: text }, { replace: true })} />
      <${Checkbox} label=${t("onlyChanged")} checked=${only === "1"} onChecked=${(/** @type {boolean} */ on) => setParams({ changed: on ? "1" : null })} />
      <p class="quiet small" role="status">${t("shown", { shown: shown.length, all: settings.length, changed })}</p></div>
    ${shown.length === 0 && html`<${Card}><${Empty} icon="filter" title=${only === "1" && changed === 0 ? t("noneChanged") : t("none")}><div class="column"><p>${t("noneHint")}</p>
      <div><${Button} small href=${href("Config")}>${t("showAll")}<//></div></div><//><//>`}
    ${bySection(shown).map(([section, inside]) => html`<${Card} key=${section} class="flush config" title=${html`${sectionName(section)} <code class="quiet">${section}</code>`}>
      <${Table} caption=${t("settingsOf", { section: sectionName(section) })} columns=${columns()} rows=${inside} rowKey=${(/** @type {Setting} */ one) => one.key}
        rowClass=${(/** @type {Setting} */ one) => (isChanged(one) ? "changed" : "")} /><//>`)}`;
}

/** @returns {import("../ui/table.js").ColumnOf<Setting>[]} */
const columns = () => [
  { key: "key", label: t("key"), render: (one) => html`<span class="config-key"><code title=${one.key}>${partsOf(one.key)[1]}</code> ${isChanged(one) && html`<${Tag} tone="info">${t("changed")}<//>`}</span>` },
  { key: "value", label: t("value"), render: (one) => html`<${Value} setting=${one} text=${one.value} />` },
  { key: "default", label: t("usual"), render: (one) => (one.secret ? html`<span class="quiet">–</span>` : html`<code class="quiet">${one.default === "" ? `(${t("empty")})` : one.default}</code>`) },
  { key: "source", label: t("source"), render: (one) => (one.source !== "default" ? html`<code>${one.source}</code>`
    : one.secret ? html`<${Tag} tone="warn">${t("publicKey")}<//>` : html`<span class="quiet">${t("isDefault")}</span>`) },
  { key: "change", label: t("change"), render: (one) => html`<${Tag} tone=${one.reloads ? "good" : "neutral"}>${t(one.reloads ? "reloads" : "restart")}<//>` },
  { key: "meaning", label: t("meaning"), render: (one) => html`<span>${meaningOf(one)}</span>` },
];

/** @param {{ setting: Setting, text: string | null }} props */
function Value({ setting, text }) {
  if (setting.secret || text === null) return html`<span class="quiet"><span aria-hidden="true">••••••</span> ${t("secret")}</span>`;
  const more = readable(setting);
  return html`<span><code>${text === "" ? `(${t("empty")})` : text}</code>${more && html` <span class="quiet small nowrap">${more}</span>`}</span>`;
}
