import { computed, effect, signal } from "../vendor/signals.js";
import { get, key } from "./api.js";
import { connection } from "./live.js";

/** What the key in use is good for; null while that is not known. @type {import("../vendor/signals.js").Signal<import("./types.d.ts").Key | null>} */
export const held = signal(null);

/** May what is here be changed? While that is not known, nothing is offered that would. */
export const mayChange = computed(() => held.value?.rights.includes("console-change") ?? false);

/** The key may be another one, of the same text, whenever the server was away. */
effect(() => {
  if (key.value === null) {
    held.value = null;
    return;
  }
  if (connection.value !== "online") return;
  const stop = new AbortController();
  get("/api/key", {}, { signal: stop.signal }).then((told) => { held.value = told; }, () => {});
  return () => stop.abort();
});
