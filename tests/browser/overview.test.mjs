import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Consumer, eventually, Producer } from "./support/client.mjs";
import { at, counted, figure, scene, shows, textOf } from "./support/scene.mjs";

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
  await shows(page.locator(".findings"), "Nobody listens: no consumer is connected. 1 message waits");
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
