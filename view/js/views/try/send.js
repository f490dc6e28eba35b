import { effect, signal } from "../../html.js";
import { key, post } from "../../api.js";

/** @typedef {{ id: number, topic: string, wanted: number, codes: string[], ms: number, slowest: number, done: boolean, error: unknown }} Sent */

const SHOWN = 5;

/** What is being written, and what was sent: kept while the reader looks at a message and comes back. */
export const draft = signal("");
/** @type {import("../../../vendor/signals.js").Signal<Sent[]>} */
export const sent = signal([]);
let count = 0;

// Whoever logs in next shall not see it.
effect(() => {
  if (key.value !== null) return;
  draft.value = "";
  sent.value = [];
});

/**
 * Sends the message so many times, one after the other, up to the first failure.
 * @param {string} topic @param {string} data @param {number} times @param {AbortSignal} stop
 */
export async function send(topic, data, times, stop) {
  /** @type {Sent} */
  let now = { id: ++count, topic, wanted: times, codes: [], ms: 0, slowest: 0, done: false, error: null };
  sent.value = [now, ...sent.value].slice(0, SHOWN);
  const tell = (/** @type {Partial<Sent>} */ change) => {
    now = { ...now, ...change };
    sent.value = sent.value.map((one) => (one.id === now.id ? now : one));
  };
  try {
    while (now.codes.length < times && !stop.aborted) {
      const start = performance.now();
      // Not given up when stopped: it may be stored already, and then its code is to be told.
      const { code } = await post("/api/messages", { topic, data });
      const ms = performance.now() - start;
      tell({ codes: [...now.codes, code], ms: now.ms + ms, slowest: Math.max(now.slowest, ms) });
    }
  } catch (error) {
    tell({ error });
  }
  tell({ done: true });
}
