import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Consumer, eventually, Producer } from "./support/client.mjs";
import { at, counted, figure, go, scene, shows, textOf } from "./support/scene.mjs";
import { trend } from "../../view/js/views/overview/trend.js";

test("counts, clients and growth are those of the server", scene(async ({ server, api, open, use }) => {
  await use(Consumer.connect(server, "orders", "till"));
  const producer = await use(Producer.connect(server, "bills", "desk"));
  for (const code of await api.publishAll("orders", ["1", "2", "3"])) await api.until(code, "consumed");
  await producer.send(["4", "5"]);
  await eventually(async () => assert.deepEqual((await api.overview()).counts, { all: 5, accepted: 0, notConsumed: 2, consumed: 3 }));

  const page = await open();
  const statuses = page.locator(".statuses");
  await shows(statuses, /All 5 Accepted .* 0 0% Not consumed .* 2 40% Consumed .* 3 60%/);
  for (const [name, value] of [["Consumers", "1"], ["Producers", "1"], ["Topics", "2"], ["Lagging topics", "0"]]) await shows(figure(page, name), value);
  await shows(page.locator(".week-total"), "5 (last week)");
  await shows(page.locator(".verdict").nth(2), "2 messages");
  await shows(page.locator(".lead"), `DPMQ ${(await api.overview()).version}`);

  await api.publish("orders", "6");
  await shows(statuses, /All 6 .* Consumed .* 4 /);
}));

// Whether the machine's own disk is something to look at, which is no fault of the page: 0 or 1.
async function fullDisks(page) {
  await shows(page.locator(".verdict").first(), /OK|issue/);
  return page.locator(".findings").getByText("The disk is nearly full").count();
}

test("rates move while messages flow", scene(async ({ server, open, use }) => {
  const page = await open();
  await shows(figure(page, "Accepted"), "0/s");
  const full = await fullDisks(page);
  await shows(page.locator(".verdict").first(), full ? "1 issue" : "OK");
  await use(Consumer.connect(server, "orders", "till"));
  const producer = await use(Producer.connect(server, "orders", "desk"));
  for (const name of ["Accepted", "Delivered", "Consumed"]) {
    await eventually(async () => {
      await producer.send(Array(50).fill("x"));
      assert.match(await textOf(figure(page, name)), /^([1-9]|0\.\d)/);
    });
  }
}));

test("messages for nobody are something to look at", scene(async ({ api, open }) => {
  await api.publish("orders", "1");
  const page = await open();
  await shows(page.locator(".verdict").first(), `${1 + (await fullDisks(page))} issue`);
  await shows(page.locator(".findings"), "No consumer is connected. 1 message waits");
}));

test("an empty broker shows the first steps, and its command works", scene(async ({ server, api, open }) => {
  const page = await open();
  await shows(page.locator("main"), "First steps");
  const codes = (await page.locator("main code, main pre").allInnerTexts()).map((text) => text.replaceAll("YOUR_KEY", server.key));
  execFileSync("sh", ["-c", codes.find((text) => text.startsWith("curl"))]);
  await counted(page.getByText("First steps"), 0);
  await shows(page.locator(".statuses"), "All 1");
  assert.equal((await api.messages())[0].topic, "hello");
}));

test("a day of the week opens its hours, by a link", scene(async ({ api, open }) => {
  await api.publish("orders", "1");
  const page = await open();
  await counted(page.locator(".week li"), 7);
  await shows(page.locator(".week li").last(), "1");
  await page.locator(".week li a").last().click();
  await at(page, /day=\d{4}-\d\d-\d\d/);
  await shows(page.locator("h3"), /Hours of .*: 1 message/);
  await page.reload();
  await shows(page.locator("h3"), /Hours of .*: 1 message/);
}));

test("a chart is a table too", scene(async ({ server, open, use }) => {
  const producer = await use(Producer.connect(server, "orders", "desk"));
  await producer.send(["1", "2", "3"]);
  const page = await open();
  const chart = page.locator(".traffic .chart").first();
  await chart.locator("canvas").waitFor();
  assert.match(await chart.locator("canvas").getAttribute("aria-label"), /Accepted/);
  await chart.getByRole("button", { name: "Show as table" }).click();
  await shows(chart.locator("table"), /\b3\/s/);
}));

test("figures lead to the view that tells more", scene(async ({ api, open }) => {
  await api.publish("orders", "1");
  const page = await open();
  await page.locator(".statuses").getByRole("link", { name: "Not consumed" }).click();
  await at(page, "#/Messages?status=not_consumed");
  await counted(page.locator("tbody tr"), 1);
}));

const OLD = [{ topic: "invoices", count: 12, age: 720 }, { topic: "bills", count: 3, age: 400 }, { topic: "young", count: 20, age: 30 }, { topic: "a", count: 1, age: 3600 }, { topic: "b", count: 1, age: 3600 }];

test("topics that nobody listens to are named, the worst first, while others have consumers", scene({ old: OLD }, async ({ server, api, open, use }) => {
  await use(Consumer.connect(server, "orders", "till"));
  const page = await open();
  const finding = page.locator(".findings li").filter({ hasText: "without a consumer" });
  await shows(finding, "17 messages wait in 4 topics without a consumer. Some have waited for more than 5 min. Start a consumer of the topic, or purge it.");
  await shows(finding, "invoices, bills, a and 1 more");
  await shows(page.locator(".verdict").first(), `${1 + (await fullDisks(page))} issue`);
  await counted(page.locator(".verdict.good").filter({ hasText: "Health" }), 0);
  const rows = page.locator(".attention tbody tr");
  await counted(rows, 4);
  await shows(rows.nth(0), /invoices no consumer 12 1[23] min/);
  await shows(rows.nth(1), "bills no consumer 3");

  await finding.getByRole("link", { name: "invoices" }).click();
  await at(page, "#/Topics/invoices");
  await shows(page.locator(".note"), "Start a consumer of the topic, or purge it.");
  await go(page, "#/Overview");
  for (const topic of ["invoices", "bills", "a", "b"]) await use(Consumer.connect(server, topic, "late"));
  await counted(page.locator(".attention"), 0);
  await counted(finding, 0);
  assert.deepEqual((await api.overview()).backlog.withoutConsumer, { afterSeconds: 300, topics: 0, messages: 0 });
}));

test("a topic that is behind has the same advice everywhere, and each names it", scene({ mq: { outboxMessages: 1 } }, async ({ server, api, open, use }) => {
  const consumer = await use(Consumer.connect(server, "slow", "till"));
  consumer.pause();
  const large = "x".repeat(1 << 20);
  let code;
  await eventually(async () => {
    code = await api.publish("slow", large);
    return (await api.topic("slow")).behind;
  });
  const told = "Each consumer gets every message, so more consumers do not help. Make the slow one faster, raise mq.outboxMiB if the load comes in bursts, or split the topic.";
  const page = await open();
  const finding = page.locator(".findings li").filter({ hasText: "1 topic is behind" });
  await shows(finding, told);
  await shows(page.locator(".attention tbody tr"), "slow consumers too slow");
  await finding.getByRole("link", { name: "slow", exact: true }).click();
  await at(page, "#/Topics/slow");
  await shows(page.locator(".note.warn"), told);
  await go(page, `#/Messages/${code}`);
  await shows(page.locator(".timeline .why"), told);
}));

test("a pace is a figure, and a topic that it limits says so", scene({ mq: { pushMessagesSpeed: 1, sendCount: 1 } }, async ({ server, open, use }) => {
  await use(Consumer.connect(server, "orders", "till"));
  const producer = await use(Producer.connect(server, "orders", "desk"));
  await producer.send(Array(90).fill("x"));
  const page = await open();
  await shows(figure(page, "Pace"), "1/s");
  await go(page, "#/Topics");
  await shows(page.locator("tbody tr"), /limited by the pace, about 1 min( \d+ s)?/);
  await go(page, "#/Topics/orders");
  await shows(page.locator("h1 + .tag"), "limited by the pace, about");
  await shows(page.locator(".note"), "The pace holds the messages of all topics back. Raise mq.sendCount, or set mq.pushMessagesSpeed to 0 for no pace.");
}));

test("without a pace there is no figure of it", scene(async ({ open }) => {
  const page = await open();
  await shows(figure(page, "Queue"), "0");
  await counted(figure(page, "Pace"), 0);
}));

test("a tile and the legend of the same rate agree", scene(async ({ server, open, use }) => {
  const producer = await use(Producer.connect(server, "orders", "desk"));
  const page = await open();
  await page.locator(".traffic canvas").first().waitFor();
  let seen = 0;
  await eventually(async () => {
    await producer.send(Array(7 + (seen * 31) % 90).fill("x"));
    const [tile, legend] = await page.evaluate(() => {
      const named = (all, name) => [...document.querySelectorAll(all)].find((one) => one.textContent.trim().startsWith(name));
      return [named(".overview-stats .stat", "Accepted").querySelector(".value").textContent, named(".traffic .legend li", "Accepted").querySelector("b").textContent];
    });
    assert.equal(legend, tile);
    if (tile !== "0/s") seen++;
    return seen >= 20;
  });
}));

test("the bar of the free space is as long as its label says", scene(async ({ open }) => {
  const page = await open();
  const bar = page.locator(".storage .bar").last();
  const label = Number((await textOf(page.locator(".storage"))).match(/\(([\d.]+)%\)/)[1]);
  const part = await bar.evaluate((one) => one.firstElementChild.getBoundingClientRect().width / one.getBoundingClientRect().width);
  assert.ok(Math.abs(part * 100 - label) < 1, `${part} of the bar, ${label}%`);
}));

test("times far away are rounded, not cut", scene(async ({ open }) => {
  const page = await open();
  const told = await page.evaluate(async () => {
    const { relative } = await import(new URL("view/js/format.js", document.baseURI).href);
    const day = 86400, hour = 3600;
    return [3 * day - hour, 2.4 * day, day - 60, -(hour - 5), 59.7, 90, 0].map((seconds) => relative(seconds, 0));
  });
  assert.deepEqual(told, ["in 3 days", "in 2 days", "in 1 day", "1 hr. ago", "in 1 min.", "in 2 min.", "now"]);
}));

/** Seconds of a backlog, with so much traffic. */
const seconds = (waiting, traffic = 0) => {
  const flow = waiting.map(() => traffic);
  return { step: 1, start: 1000, since: 1000, accepted: flow, delivered: flow, consumed: flow, notConsumed: waiting.map(() => 0), waiting };
};
const wayOf = (waiting, traffic) => trend(seconds(waiting, traffic)).way;

test("the way of a backlog is that of the last seconds", () => {
  const line = (n, from, step) => Array.from({ length: n }, (_, i) => Math.max(0, from + i * step));
  assert.equal(trend(seconds([1, 2, 3])), null, "too little is known");
  assert.equal(wayOf(line(15, 0, 100)), "grows");
  assert.equal(wayOf(line(15, 9000, -100)), "shrinks");
  assert.equal(wayOf(line(15, 500, 0)), "steady");
  assert.equal(trend(seconds(line(60, 0, 100))).perSecond, 100);
  // It shrinks since a burst of so many seconds ago, and never is it told to grow.
  for (let ago = 2; ago <= 60; ago++) {
    const waiting = [...line(60, 0, 0), ...line(ago, 295_000, -4_920)];
    assert.notEqual(wayOf(waiting, 4_920), "grows", `${ago} s after the burst`);
    if (ago >= 4) assert.equal(wayOf(waiting, 4_920), "shrinks", `${ago} s after the burst`);
    // The same of one that took three seconds.
    const slower = [...line(60, 0, 0), 98_000, 197_000, ...line(ago, 295_000, -4_920)];
    if (ago >= 6) assert.notEqual(wayOf(slower, 4_920), "grows", `${ago} s after the slower burst`);
  }
  // The burst itself is no traffic of now.
  const paced = { ...seconds([0, ...line(14, 3000, -5)], 5), accepted: [0, 3000, ...Array(13).fill(0)] };
  assert.equal(trend(paced).way, "shrinks");
  assert.equal(trend(paced).perSecond, 5);
  // Each check takes away at once what came before it.
  assert.equal(wayOf(Array.from({ length: 30 }, (_, i) => 1000 + (i % 5) * 10), 100), "steady");
  // As much of the traffic as comes and goes by itself.
  assert.equal(wayOf(line(15, 10_000, 40), 1000), "steady");
  assert.equal(wayOf(line(15, 10_000, 60), 1000), "grows");
});
