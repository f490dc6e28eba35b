/** The real server, in a folder and on a port of its own. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eventually } from "./client.mjs";

const BINARY = process.env.DPMQ_BIN ?? fileURLToPath(new URL("../../../target/optimized/dpmq", import.meta.url));
const START_MS = 20_000;
const LOG_LINES_MAX = 2000;

export const KEY = "the key of these tests";

/** Quick: no pause between batches, a check five times a second. */
const QUICK = { secretKey: KEY, pushMessagesSpeed: 0, checkSpeed: 0.2 };

/** A data file of the original, whose messages have any time: the gob of a byte slice that holds JSON. */
function dataOfTheOriginal(old) {
  const messages = {};
  let number = 0;
  for (const { topic, count, age } of old) {
    const created = Math.floor(Date.now() / 1000) - age;
    for (let i = 0; i < count; i++) {
      const code = `${(number++).toString(16).padStart(32, "0")}${created.toString(16).padStart(8, "0")}`;
      messages[code] = { MessageCode: code, MessageData: `old ${i}`, Topic: topic, CreateTime: created, ConsumedTime: 0, Status: 0 };
    }
  }
  const unsigned = (n) => {
    if (n < 0x80) return Buffer.from([n]);
    const bytes = Buffer.from(n.toString(16).padStart(n.toString(16).length + (n.toString(16).length % 2), "0"), "hex");
    return Buffer.concat([Buffer.from([256 - bytes.length]), bytes]);
  };
  const json = Buffer.from(JSON.stringify(messages));
  const value = Buffer.concat([Buffer.from([0x0a, 0x00]), unsigned(json.length), json]);
  return Buffer.concat([unsigned(value.length), value]);
}

/** What runs now: it ends with this process, however that ends. */
const running = new Set();
process.on("exit", () => { for (const child of running) child.kill("SIGKILL"); });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

export class Server {
  #dir;
  #sections;
  #child = null;
  /** What it wrote to standard error, the newest lines. */
  log = [];

  constructor(dir, sections) {
    this.#dir = dir;
    this.#sections = sections;
  }

  /**
   * @param {{ mq?: Record<string, unknown>, server?: Record<string, unknown>, old?: { topic: string, count: number, age: number }[] }} [settings]
   *   over the quick ones; `old`: messages that have waited for so many seconds
   */
  static async start({ mq = {}, server = {}, old = [] } = {}) {
    const dir = await mkdtemp(join(tmpdir(), "dpmq-browser-"));
    const started = new Server(dir, { server: { host: "127.0.0.1", port: 0, ...server }, mq: { ...QUICK, ...mq } });
    try {
      if (old.length) await started.write("data", dataOfTheOriginal(old));
      await started.startAgain();
    } catch (error) {
      await started.remove();
      throw error;
    }
    return started;
  }

  /** In the same folder, on the same port. @param {Record<string, unknown>} [mq] settings that change */
  async startAgain(mq) {
    Object.assign(this.#sections.mq, mq);
    const yaml = Object.entries(this.#sections).map(([section, settings]) => [`${section}:`,
      ...Object.entries(settings).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`)].join("\n"));
    await mkdir(join(this.#dir, "config"), { recursive: true });
    await writeFile(join(this.#dir, "config", "application.yaml"), `${yaml.join("\n")}\n`);
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DPMQ_|RUST_LOG)/.test(name)));
    const args = this.port ? ["serve", "--port", String(this.port)] : ["serve"];
    const child = spawn(BINARY, args, { cwd: this.#dir, env, stdio: ["ignore", "ignore", "pipe"] });
    running.add(child);
    child.once("exit", () => running.delete(child));
    this.#child = child;
    this.port = await new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`the server does not say where it listens:\n${this.log.join("\n")}`)), START_MS);
      child.once("error", fail);
      child.once("exit", (code) => fail(new Error(`the server ended with ${code}:\n${this.log.join("\n")}`)));
      createInterface(child.stderr).on("line", (line) => {
        this.log.push(line);
        if (this.log.length > LOG_LINES_MAX) this.log.shift();
        const port = /http:\/\/[^/\s]*:(\d+)\//.exec(line)?.[1];
        if (!port) return;
        clearTimeout(timer);
        done(Number(port));
      });
    });
  }

  get key() { return this.#sections.mq.secretKey; }

  get address() { return `127.0.0.1:${this.port}`; }

  get url() { return `http://${this.address}`; }

  get pid() { return this.#child.pid; }

  /** Another command of the binary, in the same folder; its output. */
  run = (...args) => new Promise((done, fail) => {
    execFile(BINARY, args, { cwd: this.#dir }, (error, stdout) => (error ? fail(error) : done(stdout)));
  });

  /** A file in that folder. */
  write = (path, text) => writeFile(join(this.#dir, path), text);

  /** A named key that the server knows. */
  async newKey(name, rights, topics) {
    const key = (await this.run("key", "new", name, "--rights", rights, "--topics", topics)).trim();
    await eventually(async () => assert.ok(this.log.some((line) => line.includes("loaded the keys"))));
    return key;
  }

  /** No more of its code runs. */
  async kill() {
    const child = this.#child;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async remove() {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
