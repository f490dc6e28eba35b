import { useEffect, useRef, useState } from "../../html.js";
import { route, setParams } from "../../router.js";

const PAUSE_MS = 250;

/**
 * A text that is a parameter of the address. It is written there when typing pauses: browsers refuse addresses that
 * change with every key, and the server need not look for half a word.
 * @param {string} name
 * @param {import("../../router.js").Params} [also] what changes with it: another search starts at the first page
 * @returns {[string, (text: string) => void]}
 */
export function useTyped(name, also) {
  const there = route.value.params[name] ?? "";
  const [text, setText] = useState(there);
  const written = useRef(there);
  const timer = useRef(0);

  // Another address, by a link or "back": its text, unless it is what was written from here.
  useEffect(() => {
    if (there === written.current) return;
    written.current = there;
    clearTimeout(timer.current);
    setText(there);
  }, [there]);
  useEffect(() => () => clearTimeout(timer.current), []);

  return [text, (/** @type {string} */ value) => {
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      if (value === written.current) return;
      written.current = value;
      setParams({ ...also, [name]: value }, { replace: true });
    }, PAUSE_MS);
  }];
}
