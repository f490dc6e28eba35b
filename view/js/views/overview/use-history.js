import { useEffect, useRef, useState } from "../../html.js";
import { get, isAbort } from "../../api.js";
import { overview } from "../../live.js";
import { endOf, join, ofPoint } from "./history.js";

/** @typedef {import("../../types.d.ts").Series} Series */

const RETRY_MS = 5000;

/**
 * The newest `points` steps. Seconds come with each overview; what else is missing (steps of a minute or an hour,
 * what passed while the connection was away) is fetched, and only that.
 * @param {number | null} step null: nothing @param {number} points
 * @returns {{ series: Series | null, error: unknown, retry: () => void }}
 */
export function useHistory(step, points) {
  const [series, setSeries] = useState(/** @type {Series | null} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [turn, setTurn] = useState(0);
  /** How many points `series` was asked for. */
  const asked = useRef(0);
  const asking = useRef(/** @type {AbortController | null} */ (null));
  const failedAt = useRef(-RETRY_MS);
  const last = overview.value?.last;
  const known = series?.step === step ? series : null;

  useEffect(() => {
    asking.current?.abort();
    asking.current = null;
    failedAt.current = -RETRY_MS;
  }, [step, points, turn]);
  useEffect(() => () => asking.current?.abort(), []);

  useEffect(() => {
    if (step === null || !last || asking.current || performance.now() - failedAt.current < RETRY_MS) return;
    const end = Math.floor((last.at + 1) / step) * step;
    const enough = known && asked.current >= points;
    if (enough && endOf(known) === end) return;
    const next = enough && step === 1 && endOf(known) === last.at ? join(known, ofPoint(last, known.since), points) : null;
    if (next) { setSeries(next); return; }

    const missing = enough && end > endOf(known) ? Math.min(points, (end - endOf(known)) / step + 2) : points;
    const stop = asking.current = new AbortController();
    const ask = (/** @type {number} */ count) => get("/api/series", { step, points: count }, { signal: stop.signal });
    const fill = async () => {
      const more = await ask(missing);
      return (enough && missing < points && join(known, more, points)) || (missing < points ? ask(points) : more);
    };
    fill().then(
      (filled) => {
        if (stop.signal.aborted) return;
        asked.current = points;
        setSeries(filled);
        setError(null);
      },
      (failure) => {
        if (stop.signal.aborted || isAbort(failure)) return;
        failedAt.current = performance.now();
        setError(failure);
      },
    ).finally(() => { if (asking.current === stop) asking.current = null; });
  }, [step, points, turn, last?.at]);

  return { series: known, error, retry: () => setTurn(turn + 1) };
}
