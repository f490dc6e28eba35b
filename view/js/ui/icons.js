import { html } from "../html.js";

const PATHS = {
  overview: "M2.5 13.5h11M4 11V7.5M8 11V3M12 11V6",
  topics: "M2.5 4.5h11M2.5 8h11M2.5 11.5h7",
  messages: "M2.5 4a1 1 0 0 1 1-1h9a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1zM2.8 4l5.2 4.5L13.2 4",
  clients: "M5 3.5h6v3H5zM2.5 10.5h4v3h-4zM9.5 10.5h4v3h-4zM8 6.5v2M4.5 10.5v-2h7v2",
  try: "M13.5 2.5 7 9M13.5 2.5l-4 11L7 9 2.5 6.5z",
  config: "M2.5 4.5h6M12 4.5h1.5M2.5 11.5H4M7.5 11.5h6M10.2 3v3M5.7 10v3",
  about: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.5v3.5M8 5v.1",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6 14 14",
  copy: "M6 6h7.5v7.5H6zM10 6V2.5H2.5V10H6",
  check: "M3 8.5 6.5 12 13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  sun: "M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z",
  system: "M2 3h12v8H2zM5.5 13.5h5M8 11v2.5",
  logout: "M6.5 2.5h-4v11h4M6 8h7.5M10.5 5l3 3-3 3",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.6 9h6.8l.6-9",
  download: "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M2.5 13.5h11",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  eyeOff: "M2 2l12 12M6.5 3.7C7 3.6 7.5 3.5 8 3.5c4 0 6.5 4.5 6.5 4.5s-.7 1.3-2 2.5M4 5c-1.6 1.2-2.5 3-2.5 3S4 12.5 8 12.5c1 0 1.9-.3 2.7-.7",
  play: "M4.5 2.5v11l9-5.5z",
  pause: "M5 3v10M11 3v10",
  next: "M6 3l5 5-5 5",
  first: "M12 3 7 8l5 5M4 3v10",
  back: "M10 3 5 8l5 5",
  down: "M3 6l5 5 5-5",
  up: "M3 10l5-5 5 5",
  plus: "M8 3v10M3 8h10",
  warn: "M8 2 1.5 13.5h13zM8 6.5V10M8 11.8v.1",
  keyboard: "M1.5 4h13v8h-13zM4 6.5h.1M7 6.5h.1M10 6.5h.1M12 6.5h.1M4.5 9.5h7",
  table: "M2.5 3h11v10h-11zM2.5 6.5h11M6.5 6.5V13",
  chart: "M2 12l4-4.5 3 2.5 5-6.5",
  inbox: "M2.5 9 4 3h8l1.5 6v4h-11zM2.5 9H6l.7 1.5h2.6L10 9h3.5",
  resend: "M3 8a5 5 0 1 1 1.5 3.6M3 14v-3h3",
  filter: "M2 3.5h12L9.5 9v4.5l-3-1.5V9z",
  external: "M9 2.5h4.5V7M13.5 2.5 7.5 8.5M11 9v4.5H2.5V5H7",
};

/** @typedef {keyof typeof PATHS} IconName */

/** Decoration only: its meaning has to be told by text beside it. @param {{ name: IconName, size?: number }} props */
export const Icon = ({ name, size = 16 }) => html`
  <svg class="icon" width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.4"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
