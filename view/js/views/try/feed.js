import { useEffect, useReducer, useRef, useState } from "../../html.js";
import { ApiError, events, isAbort, url } from "../../api.js";

/** @typedef {import("../../types.d.ts").Message} Message */
/** What came, or did not: `missed` were too many for this connection, at a `gap` there was none. */
/** @typedef {{ id: number, message: Message } | { id: number, missed: number } | { id: number, gap: true }} Entry */

export const KEPT = 500;
const SHOW_MS = 200;
const RETRY_MS = 2000;

const empty = () => ({ shown: /** @type {Entry[]} */ ([]), fresh: /** @type {Entry[]} */ ([]), came: 0, missed: 0 });

/**
 * Watches a topic: newest first, the newest {@link KEPT} are kept. What comes is collected and shown a few times a
 * second; not while `paused`, nor above what somebody is `reading`.
 * @param {string} topic "": nothing is watched @param {{ paused: boolean, reading: boolean }} how
 */
export function useFeed(topic, { paused, reading }) {
  const [state, setState] = useState(/** @type {"connecting" | "on" | "lost"} */ ("connecting"));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [, render] = useReducer((/** @type {number} */ n) => n + 1, 0);
  const feed = useRef(empty());
  const ids = useRef(0);

  useEffect(() => {
    if (!topic) return;
    const stop = new AbortController();
    feed.current = empty();
    setState("connecting");
    setError(null);
    follow(topic, stop.signal, {
      onState: (now, failure) => { setState(now); setError(failure); },
      onEntry: (what) => {
        const { current } = feed;
        if ("message" in what) current.came++;
        if ("missed" in what) current.missed += what.missed;
        current.fresh.unshift({ ...what, id: ++ids.current });
        if (current.fresh.length > KEPT) current.fresh.length = KEPT;
      },
    });
    return () => stop.abort();
  }, [topic]);

  const show = () => {
    const { current } = feed;
    current.shown = [...current.fresh, ...current.shown].slice(0, KEPT);
    current.fresh = [];
    render(0);
  };
  const told = useRef(-1);
  useEffect(() => {
    if (!topic) return;
    const timer = setInterval(() => {
      const { fresh, shown, came, missed } = feed.current;
      const held = paused || (reading && shown.length > 0);
      if (fresh.length === 0 || (held && told.current === came + missed)) return;
      told.current = came + missed;
      if (held) render(0);
      else show();
    }, SHOW_MS);
    return () => clearInterval(timer);
  }, [topic, paused, reading]);

  const clear = () => { feed.current = empty(); render(0); };
  return { ...feed.current, state, error, show, clear };
}

/** @typedef {{ message: Message } | { missed: number } | { gap: true }} What */

/**
 * Until stopped, whatever happens to the connection.
 * @param {string} topic @param {AbortSignal} stop
 * @param {{ onState: (state: "on" | "lost", error: unknown) => void, onEntry: (what: What) => void }} to
 */
async function follow(topic, stop, { onState, onEntry }) {
  for (let wasOn = false; !stop.aborted; ) {
    let on = false, failure = /** @type {unknown} */ (null);
    const opened = () => {
      if (on || stop.aborted) return;
      on = true;
      if (wasOn) onEntry({ gap: true });
      wasOn = true;
      onState("on", null);
    };
    try {
      await events(url("/api/topic/watch", { topic }), ({ type, data }) => {
        if (stop.aborted) return;
        if (type === "message") onEntry({ message: JSON.parse(data) });
        else if (type === "missed") onEntry({ missed: JSON.parse(data).missed });
      }, { signal: stop, onAnything: opened });
    } catch (error) {
      if (stop.aborted || isAbort(error)) return;
      failure = error;
    }
    if (stop.aborted) return;
    // That the server is not there is told by the shell already.
    onState("lost", failure instanceof ApiError && failure.status === 0 ? null : failure);
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}
