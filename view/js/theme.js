import { signal } from "../vendor/signals.js";
import { load, save } from "./storage.js";

/** @typedef {"system" | "light" | "dark"} Theme */

const kept = load("theme");
/** @type {import("../vendor/signals.js").Signal<Theme>} */
export const theme = signal(kept === "light" || kept === "dark" ? kept : "system");

/** Counts changes of the colours in effect: what draws with them (charts) depends on it. */
export const themeChanged = signal(0);

function apply() {
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  themeChanged.value = themeChanged.peek() + 1;
}
apply();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);

/** @param {Theme} value */
export function setTheme(value) {
  theme.value = value;
  save("theme", value === "system" ? null : value);
  apply();
}
