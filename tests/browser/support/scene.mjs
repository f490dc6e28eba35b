/** What every test of the page is made of: a server, pages of a browser, and what must hold for all of them. */
import assert from "node:assert/strict";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Api, eventually } from "./client.mjs";
import { KEY, Server } from "./server.mjs";

export const OUTPUT = fileURLToPath(new URL("../output/", import.meta.url));
const SECONDS_MAX = 180;
const STEP_MS = 30_000;
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** One for all tests of a file. */
let browser = null;
after(async () => { await browser?.close(); });

const launch = async () => (browser ??= await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Without a sandbox: it cannot be had as root. In containers /dev/shm is small.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
}));

/**
 * A test with a server of its own, for `test(name, scene(…))`. Whatever happens, all of it is taken down; a failure
 * says what the pages and the server said, and leaves a picture.
 * @param {{ mq?: object, server?: object, old?: object[], seconds?: number } | ((scene: Scene) => Promise<void>)} settings
 * @param {(scene: Scene) => Promise<void>} [body]
 */
export function scene(settings, body) {
  if (typeof settings === "function") [settings, body] = [{}, settings];
  return async (t) => {
    const made = new Scene(await Server.start(settings), t);
    let timer;
    try {
      const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`not done after ${settings.seconds ?? SECONDS_MAX} s`)), (settings.seconds ?? SECONDS_MAX) * 1000); });
      const done = body(made);
      done.catch(() => {});
      await Promise.race([done, late]);
      made.judge();
    } catch (error) {
      await made.tell(error);
      throw error;
    } finally {
      clearTimeout(timer);
      await made.end();
    }
  };
}

class Scene {
  #pages = [];
  #ends = [];
  #tolerated = [];
  /** What no page may do or say. */
  #wrong = [];

  constructor(server, t) {
    this.server = server;
    this.api = new Api(server);
    this.t = t;
  }

  /** What else the page may ask than the server itself, as a proxy before it. */
  #allowed = new Set();

  allow = (address) => { this.#allowed.add(address); };

  /** A line beside the test's result. */
  note = (text) => { this.t.diagnostic(text); };

  /** Closed at the end. @template {{ close: () => unknown }} T @param {Promise<T>} opening @returns {Promise<T>} */
  use = async (opening) => {
    const opened = await opening;
    this.#ends.push(() => opened.close());
    return opened;
  };

  /** What the browser says by itself about an answer that this test wants: `/status of 409/`. */
  tolerate = (pattern) => { this.#tolerated.push(pattern); };

  /** A browser that nobody has used yet. */
  visitor = async (options = {}) => {
    const context = await (await launch()).newContext({
      viewport: { width: 1280, height: 800 }, locale: "en-US", timezoneId: "Asia/Shanghai", reducedMotion: "reduce", ...options,
    });
    this.#ends.push(() => context.close());
    context.setDefaultTimeout(STEP_MS);
    await context.exposeBinding("reportViolation", (_, text) => this.#wrong.push(`policy violated: ${text}`));
    await context.addInitScript(() => addEventListener("securitypolicyviolation",
      (event) => globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)));
    const asks = (address) => {
      const url = new URL(address);
      if (!["data:", "blob:"].includes(url.protocol) && url.host !== this.server.address && !this.#allowed.has(url.host)) this.#wrong.push(`asked elsewhere: ${url}`);
    };
    context.on("request", (request) => asks(request.url()));
    context.on("page", (page) => {
      this.#follow(page);
      page.on("websocket", (socket) => asks(socket.url()));
    });
    return context;
  };

  #follow(page) {
    this.#pages.push(page);
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      this.#wrong.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => this.#wrong.push(`thrown: ${error.stack ?? error}`));
    page.on("crash", () => this.#wrong.push("the page crashed"));
    page.on("dialog", (dialog) => { this.#wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  }

  /** A new visitor's page, logged in, at `address`, for example "#/Topics". @returns {Promise<import("playwright-core").Page>} */
  open = async (address = "", options) => {
    const context = await this.visitor(options);
    const page = await context.newPage();
    await page.goto(`${this.server.url}/${address}`);
    await login(page, this.server.key);
    await page.locator(".connection.online").waitFor();
    return page;
  };

  judge = () => {
    const wrong = this.#wrong.filter((text) => !this.#tolerated.some((pattern) => pattern.test(text)));
    assert.deepEqual(wrong, [], `the page did what it never should:\n${wrong.join("\n")}`);
  };

  async tell(error) {
    await mkdir(OUTPUT, { recursive: true });
    const name = this.t.name.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 80);
    const lines = [`${this.t.name}: ${error?.stack ?? error}`];
    for (const [i, page] of this.#pages.entries()) {
      if (page.isClosed()) continue;
      const path = join(OUTPUT, `failed-${name}-${i}.png`);
      await page.screenshot({ path, timeout: 3000 }).then(() => lines.push(`picture: ${path}`), () => {});
      lines.push(`page at ${page.url()}`);
    }
    lines.push(...this.#wrong, "the server's last words:", ...this.server.log.slice(-15));
    await appendFile(join(OUTPUT, "failures.txt"), `${lines.join("\n")}\n\n`);
    for (const line of lines.slice(1)) this.note(line);
  }

  async end() {
    for (const end of this.#ends.reverse()) await Promise.resolve(end()).catch(() => {});
    await this.server.remove();
  }
}

/** Fills the form of the login. @param {import("playwright-core").Page} page */
export async function login(page, key = KEY, { remember = false } = {}) {
  await page.locator("input[name=key]").fill(key);
  if (remember) await page.locator("input[type=checkbox]").check();
  await page.locator("form button[type=submit]").click();
  // Tables hold still under the pointer.
  await page.mouse.move(0, 0);
}

/** By a link, as another tab would: nothing of the page is loaded anew. */
export const go = (page, hash) => page.evaluate((to) => { location.hash = to; }, hash);

/** The text of what is there, in one line. @param {import("playwright-core").Locator} locator */
export const textOf = async (locator) => (await locator.innerText()).replace(/\s+/g, " ").trim();

/** Waits until the text of `locator` matches. @param {string | RegExp} expected a text: it is in it */
export async function shows(locator, expected, options) {
  await eventually(async () => {
    const text = await textOf(locator.first());
    if (expected instanceof RegExp) assert.match(text, expected);
    else assert.ok(text.includes(expected), `"${expected}" is not in "${text}"`);
  }, options);
}

/** Waits until there are so many. */
export const counted = (locator, n) => eventually(async () => assert.equal(await locator.count(), n, `${locator} are there`));

/** Waits until the address has this behind its "#". @param {string | RegExp} expected */
export const at = (page, expected) => eventually(async () => {
  const hash = new URL(page.url()).hash;
  if (expected instanceof RegExp) assert.match(hash, expected);
  else assert.equal(hash, expected);
});

/** The value of one figure in a list of them, by its name. */
export const figure = (page, name) => page.locator(".stat").filter({ has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }) }).locator("dd.value");

/** Nothing that keeps somebody out, and nothing wider than the window. */
export async function accessible(page, what) {
  const { violations } = await page.evaluate(`(async () => { ${AXE}; return axe.run(document, { resultTypes: ["violations"] }); })()`);
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.any[0]?.message ?? node.failureSummary}`).join(" | ")}`);
  assert.deepEqual(told, [], `axe, ${what}:\n${told.join("\n")}`);
}

export async function fits(page, what) {
  const wide = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return null;
    const outside = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > clientWidth + 1).slice(0, 5);
    return `${scrollWidth} > ${clientWidth}: ${outside.map((one) => `${one.tagName.toLowerCase()}.${one.className}`).join(", ")}`;
  });
  assert.equal(wide, null, `${what} is wider than the window`);
}
