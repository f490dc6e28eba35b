import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer } from "./support/client.mjs";
import { at, counted, scene, shows } from "./support/scene.mjs";

const field = (page, name) => page.locator(".publish").getByLabel(name, { exact: true });

test("what is published arrives, byte by byte, and is watched without being consumed", scene(async ({ server, api, open, use }) => {
  const page = await open("#/Try?topic=orders");
  await page.getByRole("button", { name: "Start watching" }).click();
  await at(page, "#/Try?topic=orders&watch=orders");
  await shows(page.locator(".watch-head"), "watching");
  const data = '{"name": "Zoë 订单", "n": 12345678901234567890}';
  await field(page, "Data").fill(data);
  await page.locator(".publish").getByRole("button", { name: "Send" }).click();
  await shows(page.locator(".sent"), /accepted and synced in/);
  const code = await page.locator(".sent a").innerText();
  assert.equal((await api.message(code)).data, data);
  await shows(page.locator(".feed"), "Zoë 订单");
  assert.equal((await api.until(code, "not_consumed")).topic, "orders");

  const consumer = await use(Consumer.connect(server, "orders", "till"));
  await consumer.until(1);
  assert.equal(consumer.received[0].MessageData, data, "a consumer gets it as ever");
  await api.publish("orders", "from elsewhere");
  await shows(page.locator(".feed li").first(), "from elsewhere");
  await shows(page.locator(".watch-counts"), "2 messages received");

  await page.locator(".sent a").click();
  await at(page, new RegExp(`^#/Messages/${code}`));
}));

test("a message is sent many times, and by the keyboard", scene(async ({ api, open }) => {
  const page = await open("#/Try?topic=orders");
  await field(page, "Data").fill("again");
  await field(page, "Times").fill("20");
  await field(page, "Data").press("Control+Enter");
  await shows(page.locator(".sent"), "20 of 20 accepted");
  assert.equal((await api.overview()).counts.all, 20);
}));

test("what cannot be sent is said beside its field", scene(async ({ api, open }) => {
  const page = await open("#/Try");
  await page.locator(".publish").getByRole("button", { name: "Send" }).click();
  await shows(page.locator(".publish"), "Enter a topic.");
  await shows(page.locator(".publish"), "A message must have data");
  await field(page, "Topic").fill("a|b");
  await field(page, "Data").fill("{ no json");
  await page.locator(".publish").getByRole("button", { name: "Send" }).click();
  await shows(page.locator(".publish"), "A topic must not contain |.");
  await page.getByRole("button", { name: "Format JSON" }).click();
  await shows(page.locator(".publish"), "This is not JSON");
  assert.equal((await api.overview()).counts.all, 0);
}));

test("JSON is laid out without changing it", scene(async ({ open }) => {
  const page = await open("#/Try?topic=orders");
  await field(page, "Data").fill('{"n":12345678901234567890,"n":1.0,"a":[]}');
  await page.getByRole("button", { name: "Format JSON" }).click();
  assert.equal(await field(page, "Data").inputValue(), '{\n  "n": 12345678901234567890,\n  "n": 1.0,\n  "a": []\n}');
}));

test("watching can be paused, filtered and stopped", scene(async ({ api, open }) => {
  const page = await open("#/Try?topic=orders&watch=orders");
  await shows(page.locator(".watch-head"), "watching");
  await api.publishAll("orders", ["one", "two ΟΔΌΣ"]);
  await counted(page.locator(".feed li"), 2);
  for (const filter of ["TWO", "οδός"]) {
    await page.locator(".watch").getByRole("searchbox").fill(filter);
    await counted(page.locator(".feed li"), 1);
    await page.locator(".watch").getByRole("searchbox").fill("");
    await counted(page.locator(".feed li"), 2);
  }
  await page.getByRole("button", { name: "Pause" }).click();
  await api.publish("orders", "three");
  await page.getByRole("button", { name: "1 new one: show" }).click();
  await counted(page.locator(".feed li"), 3);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await at(page, "#/Try?topic=orders");
}));

test("the examples name the topic and never the key", scene(async ({ server, open }) => {
  const page = await open("#/Try?topic=a%20b");
  const connect = page.locator(".connect");
  for (const tab of ["HTTP", "WebSocket", "JavaScript", "Python"]) {
    await connect.getByRole("tab", { name: tab }).click();
    await shows(connect, tab === "HTTP" ? "topic=a b" : "/Conn/a%20b/");
    assert.ok(!(await connect.innerText()).includes(server.key));
  }
}));
