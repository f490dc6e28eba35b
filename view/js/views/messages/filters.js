import { html, useEffect, useMemo, useRef, useState, useId } from "../../html.js";
import { get } from "../../api.js";
import { fromLocalInput, toLocalInput, zoneName } from "../../format.js";
import { useLoad } from "../../load.js";
import { go, setParams } from "../../router.js";
import { Button, Input, Segments, Select, uiText } from "../../ui.js";
import { codeIn, filtersOf, NO_FILTERS, queryOf, RANGES, rangeOf, STATUSES } from "./query.js";
import { t } from "./text.js";

/** @typedef {import("./query.js").Params} Params */

/** How long to wait for the next key before asking the server. */
const TYPING_MS = 180;
/** A time is typed part by part, and each part makes another time. */
const TIME_MS = 800;

/** @param {{ params: Params }} props */
export function Filters({ params }) {
  const range = rangeOf(params);
  const { from, to } = useMemo(() => queryOf(params), [params.range, params.from, params.to]);
  const set = (/** @type {Record<string, string | number | null>} */ patch) => setParams({ ...patch, cursor: null });
  const setTimes = (/** @type {Record<string, number | null>} */ patch) => setParams({ from, to, ...patch, range: null, cursor: null }, { replace: true });

  return html`<section class="card messages-filters" aria-label=${t("find")}>
    <${SearchBox} params=${params} />
    <div class="filters">
      <${TopicFilter} topic=${params.topic ?? ""} onTopic=${(/** @type {string} */ topic) => set({ topic })} />
      <${Select} label=${t("status")} value=${params.status ?? ""} onValue=${(/** @type {string} */ status) => set({ status })}
        options=${[{ value: "", label: t("anyStatus") }, ...STATUSES.map((value) => ({ value, label: uiText(value) }))]} />
      <${TimeFilter} label=${t("from")} at=${from} hint=${zoneName()} onTime=${(/** @type {number | null} */ at) => setTimes({ from: at })} />
      <${TimeFilter} label=${t("to")} at=${to} error=${from !== undefined && to !== undefined && from > to && t("fromAfterTo")} onTime=${(/** @type {number | null} */ at) => setTimes({ to: at })} />
    </div>
    <div class="row between">
      <${Segments} label=${t("range")} value=${range ?? (params.from || params.to ? "" : "any")} onValue=${(/** @type {string} */ value) => set({ range: value === "any" ? null : value, from: null, to: null })}
        options=${["any", ...RANGES].map((value) => ({ value, label: t(/** @type {"any"} */ (value)) }))} />
      <${Button} kind="quiet" small icon="close" disabled=${!filtersOf(params).length} onClick=${() => setParams(NO_FILTERS)}>${t("clear")}<//>
    </div></section>`;
}

/** A code opens its message as soon as it is there; text is looked for on Enter. @param {{ params: Params }} props */
function SearchBox({ params }) {
  const q = params.q ?? "";
  const [typed, setTyped] = useState(q);
  const id = useId();
  useEffect(() => setTyped(q), [q]);

  /** @param {string} text */
  function type(text) {
    setTyped(text);
    const code = codeIn(text);
    if (code) go("Messages", code, params);
    else if (text === "" && q) setParams({ q: null, cursor: null });
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    const code = codeIn(typed);
    if (code) go("Messages", code, params);
    else go("Messages", null, { ...params, q: typed, cursor: null });
  }

  return html`<form role="search" onSubmit=${submit}><label class="sr-only" for=${id}>${t("find")}</label>
    <div class="row tight"><input id=${id} class="input fill" type="search" data-search autocomplete="off" spellcheck=${false} placeholder=${t("findHere")} aria-describedby="${id}-more"
      value=${typed} onInput=${(/** @type {any} */ event) => type(event.currentTarget.value)} /><${Button} kind="primary" icon="search" type="submit">${t("findButton")}<//></div>
    <p id="${id}-more" class="field-hint">${t("findHint")}</p></form>`;
}

/** Taken when it is complete: on Enter, when left, or when a suggestion is chosen. @param {{ topic: string, onTopic: (topic: string) => void }} props */
function TopicFilter({ topic, onTopic }) {
  const [typed, setTyped] = useState(topic);
  const [asked, setAsked] = useState(/** @type {string | null} */ (null));
  const id = useId();
  useEffect(() => setTyped(topic), [topic]);
  useEffect(() => {
    if (asked === null || asked === typed) return;
    const timer = setTimeout(() => setAsked(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, asked]);
  const { data } = useLoad(async (signal) => (asked === null ? null
    : /** @type {import("../../types.d.ts").TopicList} */ (await get("/api/topics", { search: asked, sort: "name", limit: 20 }, { signal }))), [asked]);

  return html`<div><${Input} label=${t("topic")} placeholder=${t("anyTopic")} list=${id} autocomplete="off" spellcheck=${false} dir="auto" value=${typed} onValue=${setTyped}
      onFocus=${() => setAsked((old) => old ?? typed)} onChange=${(/** @type {any} */ event) => onTopic(event.currentTarget.value)} />
    <datalist id=${id}>${data?.topics.map((row) => html`<option key=${row.topic} value=${row.topic}></option>`)}</datalist></div>`;
}

/** @param {{ label: string, at: number | undefined, hint?: string, error?: string | false, onTime: (at: number | null) => void }} props */
function TimeFilter({ label, at, hint, error, onTime }) {
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const latest = useRef(onTime);
  latest.current = onTime;
  useEffect(() => () => clearTimeout(timer.current), []);
  const commit = (/** @type {string} */ text) => {
    clearTimeout(timer.current);
    timer.current = undefined;
    const value = fromLocalInput(text);
    latest.current(value === null ? null : Math.max(0, value));
  };
  const now = (/** @type {any} */ event) => { if (timer.current !== undefined) commit(event.currentTarget.value); };
  return html`<${Input} type="datetime-local" step="1" label=${label} hint=${hint} error=${error} value=${toLocalInput(at)}
    onValue=${(/** @type {string} */ text) => { clearTimeout(timer.current); timer.current = setTimeout(() => commit(text), TIME_MS); }}
    onBlur=${now} onKeyDown=${(/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter") now(event); }} />`;
}
