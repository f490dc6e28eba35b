import { signal } from "../vendor/signals.js";
import { at } from "./address.js";
import { load, save } from "./storage.js";

/** The key this tab is logged in with, or null. */
export const key = signal(load("key", "session") ?? load("key", "local"));

/** The server refused the key: the last login failed, or a running one ended. */
export const loginRefused = signal(false);

export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 when the server could not be reached
   * @param {string} code the server's word for it, or "unreachable"
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** Was this only a request that the page itself gave up? @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/**
 * Tries the key and logs in with it. Throws what the server said otherwise (401: wrong key).
 * @param {string} candidate @param {boolean} remember beyond this tab, on this computer
 */
export async function login(candidate, remember) {
  await request("GET", "/api/overview", { secret: candidate });
  save("key", candidate, "session");
  save("key", remember ? candidate : null, "local");
  loginRefused.value = false;
  key.value = candidate;
}

/** Whether the server's key is the one that everybody knows. @returns {Promise<boolean>} */
export const keyIsPublished = async () => (await get("/api/login")).keyIsPublished;

export function logout() {
  save("key", null, "session");
  save("key", null, "local");
  loginRefused.value = false;
  key.value = null;
}

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query what is null, undefined or "" is left out */
/** @typedef {{ signal?: AbortSignal }} Options */

/** @param {string} path @param {Query} [params] */
export function url(path, params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {}))
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** @template [T=any] @param {string} path @param {Query} [params] @param {Options} [options] @returns {Promise<T>} */
export const get = async (path, params, options) => json(await request("GET", url(path, params), options));

/** @template [T=any] @param {string} path @param {unknown} [body] @param {Options} [options] @returns {Promise<T>} */
export const post = async (path, body, options) => json(await request("POST", path, { ...options, body }));

/** @template [T=any] @param {string} path @param {Query} [params] @param {Options} [options] @returns {Promise<T>} */
export const del = async (path, params, options) => json(await request("DELETE", url(path, params), options));

/**
 * Server-sent events, until the server ends them (returns) or fails (throws). `onAnything` is called for whatever
 * comes, the answer itself and comments too: a sign of life.
 * @param {string} path @param {(event: { type: string, data: string }) => void} onEvent
 * @param {Options & { onAnything?: () => void }} [options]
 */
export async function events(path, onEvent, options) {
  const response = await request("GET", path, { ...options, accept: "text/event-stream" });
  options?.onAnything?.();
  const feed = eventParser(onEvent);
  await readText(response, (text) => { options?.onAnything?.(); feed(text); });
}

/**
 * One JSON value per line, as they come.
 * @template [T=any]
 * @param {string} path @param {Query} params @param {(line: T) => void} onLine @param {Options} [options]
 */
export async function ndjson(path, params, onLine, options) {
  const response = await request("GET", url(path, params), options);
  let rest = "";
  await readText(response, (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim()) onLine(JSON.parse(line));
  });
  if (rest.trim()) onLine(JSON.parse(rest));
}

/**
 * Takes the text of an event stream in pieces that may be cut anywhere.
 * @param {(event: { type: string, data: string }) => void} onEvent
 * @returns {(text: string) => void}
 */
export function eventParser(onEvent) {
  let rest = "", type = "", /** @type {string[]} */ data = [], afterReturn = false;

  /** @param {string} line */
  const take = (line) => {
    if (line === "") {
      if (data.length) onEvent({ type: type || "message", data: data.join("\n") });
      type = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") type = value;
    else if (field === "data") data.push(value);
  };

  return (text) => {
    // "\r\n" is one line end, also when cut between the two.
    if (afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (text) afterReturn = text.endsWith("\r");
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? "";
    lines.forEach(take);
  };
}

/** @param {Response} response @param {(text: string) => void} onText */
async function readText(response, onText) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => { throw unreachable(error); });
      if (done) return;
      onText(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {unknown} error */
const unreachable = (error) => (isAbort(error) ? error : new ApiError(0, "unreachable", "The server cannot be reached."));

/** A header is bytes to `fetch`: text beyond Latin-1 is sent as UTF-8. @param {string} text */
const headerValue = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/**
 * @param {string} method @param {string} target
 * @param {{ signal?: AbortSignal, body?: unknown, accept?: string, secret?: string }} [options]
 */
async function request(method, target, { signal: abort, body, accept = "application/json", secret } = {}) {
  const used = secret ?? key.peek();
  /** @type {Record<string, string>} */
  const headers = { Accept: accept };
  if (used !== null) headers.secretKey = headerValue(used);
  if (body !== undefined) headers["Content-Type"] = "application/json";

  const response = await fetch(at(target), {
    method, headers, signal: abort, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body),
  }).catch((error) => { throw unreachable(error); });
  if (response.ok) return response;

  const failure = await response.json().catch(() => null);
  // Only the key in use is given up: the answer may be to one that was replaced meanwhile.
  if (response.status === 401 && used === key.peek() && key.peek() !== null) {
    logout();
    loginRefused.value = true;
  }
  throw new ApiError(response.status, failure?.error?.code ?? "http", failure?.error?.message ?? `HTTP ${response.status} ${response.statusText}`);
}

/** @param {Response} response */
async function json(response) {
  const text = await response.text().catch((error) => { throw unreachable(error); });
  return text ? JSON.parse(text) : undefined;
}
