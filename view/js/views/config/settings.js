import { bytes, caseless, duration } from "../../format.js";

/** @typedef {import("../../types.d.ts").Setting} Setting */

/** @param {string} key "mq.sendCount" @returns {[string, string]} */
export const partsOf = (key) => {
  const dot = key.indexOf(".");
  return dot < 0 ? ["", key] : [key.slice(0, dot), key.slice(dot + 1)];
};

/** Of a secret only its source is known. @param {Setting} setting */
export const isChanged = ({ value, default: usual, source, secret }) => (secret ? source !== "default" : value !== usual);

/** In the order in which they come. @param {Setting[]} settings @returns {[string, Setting[]][]} */
export function bySection(settings) {
  /** @type {Map<string, Setting[]>} */
  const sections = new Map();
  for (const setting of settings) {
    const [section] = partsOf(setting.key);
    sections.set(section, [...(sections.get(section) ?? []), setting]);
  }
  return [...sections];
}

/** Every word of `text` is somewhere. @param {Setting} setting @param {string} meaning as it is shown @param {string} text */
export function matches({ key, value, source, meaning: original }, meaning, text) {
  const all = caseless([key, value ?? "", source, meaning, original].join("\n"));
  return caseless(text).split(/\s+/).every((word) => all.includes(word));
}

/** A large value in a unit that is read at a glance; null when it says it by itself. @param {Setting} setting */
export function readable({ key, value }) {
  const n = Number(value);
  if (value === null || !/^\d+$/.test(value)) return null;
  if (/Bytes$/.test(key)) return n >= 1024 ? bytes(n) : null;
  return /(Seconds|Time)$/.test(key) && n >= 60 ? duration(n) : null;
}

/** What differs from the default, as the file would have it; secrets are named only. @param {Setting[]} settings */
export function toYaml(settings) {
  const sections = bySection(settings.filter(isChanged)).map(([section, inside]) => {
    const indent = section ? "  " : "";
    const lines = inside.map(({ key, value, secret }) => {
      const name = partsOf(key)[1];
      return secret || value === null ? `${indent}# ${name}: (secret)` : `${indent}${name}: ${scalar(value)}`;
    });
    // A section of comments only would be null.
    const empty = inside.every(({ value, secret }) => secret || value === null);
    return section ? [`${section}:${empty ? " {}" : ""}`, ...lines].join("\n") : lines.join("\n");
  });
  return sections.length ? `${sections.join("\n\n")}\n` : "";
}

/** As it is when YAML reads it as the same text (or number), else in quotes. @param {string} value */
const scalar = (value) => (/^[A-Za-z0-9/][A-Za-z0-9_./+-]*$/.test(value) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(value) ? value : JSON.stringify(value));
