import { html, signal, useId, useLayoutEffect, useRef, useState } from "../html.js";
import { Button, CopyButton, IconButton } from "./basic.js";
import { ErrorState } from "./states.js";
import { t } from "./text.js";

/** @typedef {import("./basic.js").Children} Children */

/**
 * Shown as long as it is rendered. Esc, the backdrop and its button call `onClose`; the focus goes back where it was.
 * @param {{ title: Children, onClose: () => void, drawer?: boolean, wide?: boolean, footer?: Children, children?: Children }} props
 *   `drawer`: at the right edge, full height
 */
export function Dialog({ title, onClose, drawer, wide, footer, children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  const [before] = useState(() => document.activeElement);
  useLayoutEffect(() => {
    const dialog = /** @type {HTMLDialogElement} */ (box.current);
    dialog.showModal();
    return () => {
      dialog.close();
      // It may be out of the page already, where closing gives no focus back. Where it went meanwhile, it stays.
      if (document.activeElement === document.body && before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  return html`<dialog ref=${box} class="${drawer ? "drawer" : "modal"} ${wide ? "wide" : ""}" aria-labelledby=${id}
    onCancel=${(/** @type {Event} */ event) => { if (event.target === box.current) { event.preventDefault(); onClose(); } }}
    onMouseDown=${(/** @type {Event} */ event) => { if (event.target === box.current) onClose(); }}>
    <div class="dialog-inside">
      <header class="dialog-head"><h2 id=${id}>${title}</h2><${IconButton} icon="close" label=${t("close")} onClick=${onClose} /></header>
      <div class="dialog-body">${children}</div>
      ${footer && html`<footer class="dialog-foot">${footer}</footer>`}
    </div></dialog>`;
}

/**
 * @typedef {object} Confirmation
 * @property {string} title
 * @property {Children} will what it will touch: "1,204 waiting messages"
 * @property {string} topic its name has to be typed
 * @property {string} action the text of the button
 * @property {() => Promise<unknown>} [run] done while the dialog shows that it works; an error is shown in it
 */

/** @type {import("../../vendor/signals.js").Signal<(Confirmation & { answer: (yes: boolean) => void }) | null>} */
const asked = signal(null);

/** Asks before something is destroyed. True: confirmed, and `run` succeeded. @param {Confirmation} what @returns {Promise<boolean>} */
export function confirmTopic(what) {
  asked.peek()?.answer(false);
  return new Promise((done) => {
    asked.value = { ...what, answer: (yes) => { asked.value = null; done(yes); } };
  });
}

/** Once, in the shell. */
export const Confirm = () => asked.value && html`<${Question} key=${asked.value.title + asked.value.topic} ...${asked.value} />`;

/** @param {Confirmation & { answer: (yes: boolean) => void }} props */
function Question({ title, will, topic, action, run, answer }) {
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const id = useId();

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (typed !== topic || busy) return;
    setBusy(true);
    setError(null);
    try {
      await run?.();
      answer(true);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return html`<${Dialog} title=${title} onClose=${() => { if (!busy) answer(false); }}>
    <form onSubmit=${submit} class="column">
      <p><span class="quiet">${t("willTouch")}: </span><strong class="break">${will}</strong></p>
      <p class="danger-text">${t("notUndone")}</p>
      <div class="field"><label for=${id}>${t("typeTopic")}</label>
        <div class="row tight"><code class="break topic-name">${topic}</code><${CopyButton} text=${topic} /></div>
        <input id=${id} class="input" autocomplete="off" spellcheck=${false} autofocus value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.currentTarget.value)} /></div>
      ${error !== null && html`<${ErrorState} error=${error} />`}
      <div class="row end"><${Button} onClick=${() => answer(false)} disabled=${busy}>${t("cancel")}<//>
        <${Button} kind="danger" type="submit" busy=${busy} disabled=${typed !== topic}>${busy ? t("working") : action}<//></div>
    </form><//>`;
}
