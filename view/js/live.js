import { effect, signal } from "../vendor/signals.js";
import { ApiError, events, get, key } from "./api.js";

/** The server sends each second: after so long without anything it is gone. */
const SILENCE_MS = 4000;
const RETRY_MS = [250, 500, 1000, 2000];
const POLL_MS = 2000;
/** How long to poll a server that refuses the stream before asking for the stream again. */
const POLLS = 15;

/** @type {import("../vendor/signals.js").Signal<import("./types.d.ts").Overview | null>} */
export const overview = signal(null);

/** @type {import("../vendor/signals.js").Signal<"connecting" | "online" | "offline">} */
export const connection = signal("connecting");

/** The server's time in Unix seconds, each second: ages are told by its clock, not by this computer's. */
export const now = signal(Date.now() / 1000);
let ahead = 0;
setInterval(() => { if (!document.hidden) now.value = Math.floor((Date.now() + ahead) / 1000); }, 1000);

/** Is the tab shown? What asks the server again and again pauses while it is not. */
export const visible = signal(!document.hidden);
document.addEventListener("visibilitychange", () => { visible.value = !document.hidden; });

effect(() => {
  if (key.value === null) {
    overview.value = null;
    connection.value = "connecting";
    return;
  }
  if (!visible.value) return;
  const stop = new AbortController();
  follow(stop.signal);
  return () => stop.abort();
});

/** @param {AbortSignal} stop */
async function follow(stop) {
  connection.value = "connecting";
  for (let failures = 0; !stop.aborted; ) {
    let came = false;
    const onOverview = (/** @type {import("./types.d.ts").Overview} */ data) => {
      if (stop.aborted) return;
      came = true;
      overview.value = data;
      ahead = data.nowMs - Date.now();
      connection.value = "online";
    };
    /** @type {unknown} */
    let failure = null;
    await stream(stop, onOverview).catch((error) => { failure = error; });
    if (stop.aborted) return;
    // Nothing came of it: perhaps something on the way does not let streams through.
    const polls = !came && !(failure instanceof ApiError && failure.status === 401);
    if (polls && await poll(stop, onOverview).then(() => true, () => false)) continue;
    if (stop.aborted) return;
    connection.value = "offline";
    failures = came ? 0 : failures + 1;
    await pause(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)], stop);
  }
}

/** @param {AbortSignal} stop @param {(data: import("./types.d.ts").Overview) => void} onOverview */
async function stream(stop, onOverview) {
  const silence = new AbortController();
  const giveUp = () => silence.abort();
  let timer = setTimeout(giveUp, SILENCE_MS);
  try {
    await events("/api/events", ({ type, data }) => { if (type === "overview") onOverview(JSON.parse(data)); }, {
      signal: either(stop, silence.signal),
      onAnything: () => { clearTimeout(timer); timer = setTimeout(giveUp, SILENCE_MS); },
    });
  } finally {
    clearTimeout(timer);
  }
}

/** @param {AbortSignal} stop @param {(data: import("./types.d.ts").Overview) => void} onOverview */
async function poll(stop, onOverview) {
  for (let i = 0; i < POLLS && !stop.aborted; i++) {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      onOverview(await get("/api/overview", {}, { signal: either(stop, silence.signal) }));
    } finally {
      clearTimeout(timer);
    }
    await pause(POLL_MS, stop);
  }
}

/** @param {AbortSignal} a @param {AbortSignal} b */
function either(a, b) {
  const both = new AbortController();
  for (const one of [a, b]) {
    if (one.aborted) both.abort();
    one.addEventListener("abort", () => both.abort(), { once: true, signal: both.signal });
  }
  return both.signal;
}

/** @param {number} ms @param {AbortSignal} stop @returns {Promise<void>} */
const pause = (ms, stop) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  stop.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});
