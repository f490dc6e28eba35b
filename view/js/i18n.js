import { effect, signal } from "../vendor/signals.js";
import { load, save } from "./storage.js";

/** @typedef {"en" | "zh"} Lang */

/** @returns {Lang} */
function initial() {
  const kept = load("lang");
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** The language of everything shown. */
export const lang = signal(initial());

/** For `Intl` and the `lang` attribute. */
export const locale = () => (lang.value === "zh" ? "zh-CN" : "en");

effect(() => { document.documentElement.lang = locale(); });

/** @param {Lang} value */
export function setLang(value) {
  lang.value = value;
  save("lang", value);
}

/** @typedef {Record<string, string | number>} Params */

/**
 * The texts of one module in both languages. In a text, `{name}` is a parameter (numbers are written as the language
 * does) and `{name|message|messages}` a word chosen by the number.
 * @template {Record<string, string>} T
 * @param {{ en: T, zh: { [K in keyof NoInfer<T>]: string } }} all
 * @returns {(key: keyof T & string, params?: Params) => string}
 */
export function texts(all) {
  return (key, params) => {
    const text = all[lang.value][key] ?? key;
    return params ? fill(text, params) : text;
  };
}

/** @param {string} text @param {Params} params */
function fill(text, params) {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (whole, name, one, many) => {
    const value = params[name];
    if (value === undefined) return whole;
    if (many !== undefined) return value === 1 ? one : many;
    return typeof value === "number" ? new Intl.NumberFormat(locale()).format(value) : value;
  });
}
