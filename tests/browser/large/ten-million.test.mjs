/**
 * The console before ten million messages. The limits are those of a quiet machine; what is asserted is several times
 * as much, and what was measured is printed. DPMQ_MESSAGES=100000 tries it with fewer, and so do tests/run
 * and a machine without room.
 */
import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { drain, eventually, numbered, pour } from "../support/client.mjs";
import { at, counted, go, scene, shows } from "../support/scene.mjs";

/** The log, the snapshot and a snapshot that is written anew. */
const ROOM = 8 * 2 ** 30;
const volume = statfsSync(tmpdir());
const MESSAGES = Number(process.env.DPMQ_MESSAGES ?? (volume.bavail * volume.bsize > ROOM ? 10_000_000 : 800_000));
const TOPICS = 8;
const EACH = MESSAGES / TOPICS;
const PATIENCE = 3;
const ROUNDS = 100;

const topicOf = (i) => `table-${i}`;
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const ms = (time) => `${time.toFixed(1)} ms`;

test(`${MESSAGES} messages of 128 bytes in ${TOPICS} topics`, scene({ seconds: 600 }, async ({ server, api, open, use, note }) => {
  /** Runs it again and again: the median is at most `limit`, allowing for a busy machine. */
  async function measured(what, limit, run, rounds = ROUNDS) {
    const times = [];
    for (let i = 0; i < rounds; i++) {
      const start = performance.now();
      await run(i);
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    note(`${what}: p50 ${ms(quantile(times, 0.5))}, p99 ${ms(quantile(times, 0.99))} (${rounds} times)`);
    assert.ok(quantile(times, 0.5) < limit * PATIENCE, `${what}: p50 ${ms(quantile(times, 0.5))} is more than ${PATIENCE} × ${limit} ms`);
  }

  await use(drain(server, topicOf(0), "drain"));
  const start = performance.now();
  await Promise.all(Array.from({ length: TOPICS }, (_, i) => pour(server, topicOf(i), `producer-${i}`, EACH)));
  const seconds = (performance.now() - start) / 1000;
  note(`filled in ${seconds.toFixed(1)} s: ${Math.round(MESSAGES / seconds)}/s, each acknowledged once it was on disk`);
  await eventually(async () => assert.deepEqual((await api.overview()).counts, { all: MESSAGES, accepted: 0, notConsumed: MESSAGES - EACH, consumed: EACH }), { within: 120_000 });
  const { memory, disk } = await api.overview();
  note(`settled after ${((performance.now() - start) / 1000).toFixed(1)} s; resident ${(memory.residentBytes / 2 ** 20).toFixed(0)} MiB, log ${(disk.logBytes / 2 ** 20).toFixed(0)} MiB`);

  await measured("GET /api/overview", 10, () => api.overview());
  await measured("GET /api/topics", 50, () => api.get("/api/topics"));
  await measured("GET /api/topics/{topic}", 50, (i) => api.topic(topicOf(i % TOPICS)));

  const [{ created: newest }] = await api.messages("?limit=1");
  const span = Math.floor(seconds);
  for (const [what, query] of [["all", "limit=50"], ["all, from the middle on", `limit=50&to=${newest - (span >> 1)}`], ["by topic", `limit=50&topic=${topicOf(3)}`],
    ["by status", "limit=50&status=consumed"], ["by topic and status", `limit=50&topic=${topicOf(5)}&status=not_consumed`], ["by a status that none has", "limit=50&status=accepted"]]) {
    let cursor = "";
    await measured(`a page of messages, ${what}, page after page`, 50, async () => {
      const { messages, next } = await api.get(`/api/messages?${query}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      assert.equal(messages.length, query.endsWith("accepted") ? 0 : 50);
      cursor = next ?? "";
    });
  }

  const codes = [];
  await measured("a page anywhere in time", 50, async (i) => {
    const { messages } = await api.get(`/api/messages?limit=50&to=${newest - Math.floor((i * span) / ROUNDS)}`);
    codes.push(...messages.slice(0, 1).map(({ code }) => code));
  });
  assert.ok(codes.length > ROUNDS / 2);
  await measured("a message by its code", 100, (i) => api.message(codes[i % codes.length]));
  await measured("a message that is not there", 100, (i) => assert.rejects(api.message(`${"0".repeat(32)}${codes[i % codes.length].slice(32)}`), { status: 404 }));

  await search({ server, api, note });
  await page({ open, note, api });
}));

/** The lines of a search as they come. */
async function* lines(server, query, signal) {
  const response = await fetch(`${server.url}/api/search?${query}`, { headers: { secretKey: server.key }, signal });
  assert.equal(response.status, 200);
  let rest = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const whole = (rest + part).split("\n");
    rest = whole.pop();
    yield* whole.map((line) => JSON.parse(line));
  }
}

async function search({ server, api, note }) {
  const wanted = numbered(topicOf(2), EACH - 1).slice(0, 40);
  let start = performance.now();
  for await (const line of lines(server, `text=${encodeURIComponent(wanted)}&limit=1`)) {
    if (!line.message) continue;
    note(`text that is among the newest: found after ${ms(performance.now() - start)}`);
    assert.equal(line.message.topic, topicOf(2));
  }

  start = performance.now();
  let progress = 0, end;
  for await (const line of lines(server, "text=nowhere")) {
    if (line.progress) progress++;
    if (line.end) end = line.end;
  }
  const took = performance.now() - start;
  note(`text that is nowhere: ${end.looked} messages looked at in ${ms(took)} (${Math.round(end.looked / took * 1000)}/s), ${progress} lines of progress`);
  assert.deepEqual([end.looked, end.reason, end.found], [Math.min(1_000_000, MESSAGES), MESSAGES > 1_000_000 ? "look" : "end", 0]);
  assert.ok(end.reached !== null && (MESSAGES <= 1_000_000 || end.next), "it says how far it came, and goes on from there");

  const stop = new AbortController();
  start = performance.now();
  const cancelled = lines(server, `text=nowhere&look=${MESSAGES}`, stop.signal);
  const first = (await cancelled.next()).value;
  note(`first progress of a search through everything after ${ms(performance.now() - start)}: ${first.progress?.looked} looked at`);
  stop.abort();
  await cancelled.next().catch(() => {});
  // What it would have taken to look at everything is ten times as long as this may take.
  await eventually(async () => {
    const before = await cpu(server);
    const begin = performance.now();
    await api.overview();
    await new Promise((done) => setTimeout(done, 200));
    return (await cpu(server) - before) / (performance.now() - begin) < 0.5;
  }, { within: 3000, what: "a cancelled search is given up" });
}

/** Milliseconds of processor that the server has had. */
async function cpu(server) {
  const fields = (await readFile(`/proc/${server.pid}/stat`, "latin1")).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function page({ open, note, api }) {
  const there = await open();
  await shows(there.locator(".statuses"), `All ${MESSAGES.toLocaleString("en")}`);
  const first = async (what, hash) => {
    const start = performance.now();
    await go(there, hash);
    await there.locator("tbody tr").first().waitFor();
    const took = performance.now() - start;
    note(`${what}: the first row after ${ms(took)}`);
    assert.ok(took < 1000 * PATIENCE, what);
  };
  await first("messages", "#/Messages");
  await counted(there.locator("tbody tr"), 50);
  await go(there, "#/Overview");
  await first("messages of a topic that are consumed", `#/Messages?topic=${topicOf(0)}&status=consumed`);
  await go(there, "#/Overview");
  await first("topics", "#/Topics");

  await go(there, "#/Messages?q=nowhere");
  await there.getByRole("button", { name: "Cancel" }).or(there.getByRole("button", { name: "Continue" })).click();
  await shows(there.locator(".search-told"), /found.*searched/);
  const [{ code }] = await api.messages("?limit=1");
  await go(there, "#/Messages");
  await there.getByRole("searchbox").fill(code);
  await at(there, `#/Messages/${code}`);
  await shows(there.locator("aside.detail"), code);
}
