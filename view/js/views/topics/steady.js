import { useRef } from "../../html.js";

/**
 * @template R
 * @typedef {{ question: string, rows: R[] }} Answer `question`: what was asked for; another one is another list
 */

/**
 * Rows that are asked for again and again. While the pointer or the focus is among them they stay where they are and
 * only their values change: nobody clicks on what has just moved. What is no longer in the answer is then in `gone`.
 * @template R
 * @param {Answer<R> | null} answer
 * @param {(row: R) => string | number} keyOf
 * @returns {{ rows: R[], gone: Set<string | number>, box: object }} `box`: properties of the element around them
 */
export function useSteady(answer, keyOf) {
  const held = useRef({ pointer: false, focus: false });
  const seen = useRef(/** @type {{ answer: Answer<R> | null, rows: R[], gone: Set<string | number> }} */ ({ answer: null, rows: [], gone: new Set() }));

  if (answer && answer !== seen.current.answer) {
    const hold = (held.current.pointer || held.current.focus) && answer.question === seen.current.answer?.question;
    seen.current = { answer, ...(hold ? inPlace(seen.current.rows, answer.rows, keyOf) : { rows: answer.rows, gone: new Set() }) };
  }

  const box = useRef({
    onPointerEnter: () => { held.current.pointer = true; },
    onPointerLeave: () => { held.current.pointer = false; },
    onFocusCapture: (/** @type {Event} */ event) => { held.current.focus = /** @type {Element} */ (event.target).closest("tbody") !== null; },
    onBlurCapture: () => { held.current.focus = false; },
  }).current;
  return { rows: seen.current.rows, gone: seen.current.gone, box };
}

/**
 * New values in old places. New rows come below as long as there is room on the page.
 * @template R
 * @param {R[]} before @param {R[]} after @param {(row: R) => string | number} keyOf
 */
function inPlace(before, after, keyOf) {
  const fresh = new Map(after.map((row) => [keyOf(row), row]));
  /** @type {Set<string | number>} */
  const gone = new Set();
  const rows = before.map((row) => {
    const key = keyOf(row), now = fresh.get(key);
    fresh.delete(key);
    if (!now) gone.add(key);
    return now ?? row;
  });
  return { rows: [...rows, ...[...fresh.values()].slice(0, Math.max(0, after.length - rows.length))], gone };
}
