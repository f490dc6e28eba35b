// A browser may refuse storage (private windows, policies): then choices last as long as the page.

/** @param {"local" | "session"} kind @returns {Storage | null} */
const area = (kind) => {
  try { return kind === "local" ? localStorage : sessionStorage; } catch { return null; }
};

/** @param {string} name @param {"local" | "session"} [kind] @returns {string | null} */
export function load(name, kind = "local") {
  try { return area(kind)?.getItem(`dpmq.${name}`) ?? null; } catch { return null; }
}

/** `null` removes. @param {string} name @param {string | null} value @param {"local" | "session"} [kind] */
export function save(name, value, kind = "local") {
  try {
    if (value === null) area(kind)?.removeItem(`dpmq.${name}`);
    else area(kind)?.setItem(`dpmq.${name}`, value);
  } catch { /* not kept, see above */ }
}
