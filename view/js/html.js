import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";

/** Markup as a tagged template: html`<p>${text}</p>`. What is put in is text, never markup. */
export const html = htm.bind(h);

export { h, render, Fragment, Component } from "../vendor/preact.js";
export { useState, useReducer, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useId } from "../vendor/hooks.js";
export { signal, computed, effect, batch, untracked, useSignal, useComputed, useSignalEffect } from "../vendor/signals.js";
