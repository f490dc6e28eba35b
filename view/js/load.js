import { useCallback, useEffect, useRef, useState } from "./html.js";
import { isAbort } from "./api.js";
import { connection, visible } from "./live.js";

/**
 * @template T
 * @typedef {{ data: T | null, error: unknown, loading: boolean, reload: () => void }} Loaded
 */

/**
 * Loads again when `inputs` change, every `every` ms while the tab is shown, and when the server is back. What was
 * loaded before stays until the next is there, so that nothing flickers; `keep: false` drops it when inputs change.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {readonly unknown[]} inputs
 * @param {{ every?: number, keep?: boolean }} [options]
 * @returns {Loaded<T>}
 */
export function useLoad(load, inputs, { every, keep = true } = {}) {
  const [state, setState] = useState(/** @type {{ data: T | null, error: unknown, loading: boolean }} */ ({ data: null, error: null, loading: true }));
  const [turn, setTurn] = useState(0);
  const seen = useRef(/** @type {readonly unknown[]} */ (inputs));
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  const shown = visible.value;
  const online = connection.value === "online";

  useEffect(() => {
    const stop = new AbortController();
    const changed = seen.current.some((input, i) => input !== inputs[i]);
    seen.current = inputs;
    setState((old) => ({ data: changed && !keep ? null : old.data, error: changed ? null : old.error, loading: true }));
    load(stop.signal).then(
      (data) => { if (!stop.signal.aborted) setState({ data, error: null, loading: false }); },
      (error) => { if (!stop.signal.aborted && !isAbort(error)) setState((old) => ({ ...old, error, loading: false })); },
    );
    return () => stop.abort();
  }, [...inputs, turn]);

  useEffect(() => {
    if (!every || !shown || state.loading) return;
    const timer = setTimeout(reload, every);
    return () => clearTimeout(timer);
  }, [every, shown, state]);

  const wasOnline = useRef(online);
  useEffect(() => {
    if (online && !wasOnline.current && state.error) reload();
    wasOnline.current = online;
  }, [online]);

  return { ...state, reload };
}
