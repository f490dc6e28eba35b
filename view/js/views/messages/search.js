import { useCallback, useEffect, useRef, useState } from "../../html.js";
import { ApiError, isAbort, ndjson } from "../../api.js";

/** @typedef {import("../../types.d.ts").MessageRow} MessageRow */
/** @typedef {import("../../types.d.ts").SearchLine} SearchLine */
/**
 * @typedef {object} Search
 * @property {MessageRow[]} rows
 * @property {number} looked messages, all runs together
 * @property {number | null} reached
 * @property {"running" | "paused" | "end" | "cancelled" | "failed"} phase `paused`: it came to a limit, `next` goes on
 * @property {string | null} next
 * @property {unknown} error
 */

const LIMIT = 50;
/** @type {Search} */
const NOTHING = { rows: [], looked: 0, reached: null, phase: "running", next: null, error: null };

/**
 * Looks for text in the data of messages; another `key` cancels and begins anew.
 * @param {string} key @param {() => Record<string, string | number | undefined>} query
 * @returns {Search & { cancel: () => void, goOn: () => void, again: () => void }}
 */
export function useSearch(key, query) {
  const [state, setState] = useState(NOTHING);
  const stop = useRef(new AbortController());

  const run = useCallback(async (/** @type {Search} */ before) => {
    stop.current.abort();
    const { signal } = stop.current = new AbortController();
    let search = { ...before, phase: /** @type {Search["phase"]} */ ("running"), error: /** @type {unknown} */ (null) };
    const told = (/** @type {Partial<Search>} */ patch) => {
      if (signal.aborted) return;
      search = { ...search, ...patch };
      setState(search);
    };
    told({});
    try {
      await ndjson("/api/search", { ...query(), limit: LIMIT, cursor: before.next }, (/** @type {SearchLine} */ line) => {
        if ("message" in line) told({ rows: [...search.rows, line.message] });
        else if ("progress" in line) told({ looked: before.looked + line.progress.looked, reached: line.progress.reached ?? search.reached });
        else if ("end" in line) told({ looked: before.looked + line.end.looked, reached: line.end.reached ?? search.reached, next: line.end.next, phase: line.end.next === null ? "end" : "paused" });
        else throw new ApiError(500, line.error.code, line.error.message);
      }, { signal });
      if (search.phase === "running") told({ phase: "failed" });
    } catch (error) {
      if (!isAbort(error)) told({ phase: "failed", error });
    }
  }, [key]);

  useEffect(() => {
    run(NOTHING);
    return () => stop.current.abort();
  }, [key]);

  return {
    ...state,
    cancel: () => { stop.current.abort(); setState((old) => ({ ...old, phase: "cancelled" })); },
    goOn: () => run(state),
    again: () => run(NOTHING),
  };
}
