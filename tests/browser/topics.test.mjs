import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer, eventually, Producer } from "./support/client.mjs";
import { at, counted, figure, go, scene, shows } from "./support/scene.mjs";

const rows = (page) => page.locator("tbody tr");
const names = (page) => page.locator("tbody tr td:first-child").allInnerTexts();
const listed = (page, expected) => eventually(async () => assert.deepEqual(await names(page), expected));

test("topics are listed, the longest waiting first, sorted and searched", scene(async ({ server, api, open, use }) => {
  await api.publishAll("beta", ["1"]);
  await api.publishAll("Alpha", ["1", "2", "3"]);
  await use(Consumer.connect(server, "gamma", "till"));
  const page = await open("#/Topics");
  await listed(page, ["Alpha", "beta", "gamma"]);
  await shows(rows(page).nth(0), "no consumer");
  await shows(page.locator(".pager"), "3 topics");

  await page.locator("th").getByRole("button", { name: "Topic" }).click();
  await at(page, "#/Topics?sort=name");
  await page.locator("th").getByRole("button", { name: "Topic" }).click();
  await at(page, "#/Topics?sort=name&order=desc");
  await eventually(async () => assert.equal((await names(page)).at(0), "gamma"));
  await page.locator("th").getByRole("button", { name: "Consumers" }).click();
  await eventually(async () => assert.equal((await names(page)).at(0), "gamma"));

  await page.getByRole("searchbox").fill("ALP");
  await listed(page, ["Alpha"]);
  await at(page, /search=ALP/);
  await page.getByRole("searchbox").fill("nothing");
  await shows(page.locator(".empty"), "No topic matches");
}));

test("many topics come by pages", scene(async ({ api, open }) => {
  for (let i = 0; i < 60; i++) await api.publish(`topic-${String(i).padStart(2, "0")}`, "x");
  const page = await open("#/Topics?sort=name");
  await counted(rows(page), 50);
  await shows(page.locator(".pager"), "60 topics");
  await page.getByRole("button", { name: "Next" }).click();
  await counted(rows(page), 10);
  await shows(page.locator(".pager"), "Page 2");
  await page.getByRole("button", { name: "First page" }).click();
  await counted(rows(page), 50);
}));

test("a topic tells its counts, rates and clients", scene(async ({ server, api, open, use }) => {
  await api.publishAll("a/b c?", ["1", "2"]);
  const page = await open("#/Topics");
  await rows(page).first().click();
  await at(page, "#/Topics/a%2Fb%20c%3F");
  await shows(page.locator("h1"), "a/b c?");
  await shows(figure(page, "Waiting"), "2");
  await shows(page.locator("main"), "This topic has no consumer");

  const consumer = await use(Consumer.connect(server, "a/b c?", "till 1"));
  await use(Producer.connect(server, "a/b c?", "desk"));
  await consumer.until(2);
  await shows(figure(page, "Consumed"), "2");
  await shows(figure(page, "Waiting"), "0");
  await shows(page.locator(".client-table"), /till 1 consumer/);
  await shows(page.locator(".client-table"), /desk producer/);
  await page.getByRole("link", { name: "See messages" }).click();
  await counted(rows(page), 2);
}));

test("a topic that is not there is said not to be", scene(async ({ open, tolerate }) => {
  tolerate(/status of 404/);
  const page = await open("#/Topics/nothing");
  await shows(page.locator("main"), "This topic has neither messages nor clients");
}));

test("a purge wants the topic's name, and deletes what it says and no more", scene(async ({ server, api, open, use }) => {
  const consumer = await use(Consumer.connect(server, "orders", "till"));
  for (const code of await api.publishAll("orders", ["1", "2"])) await api.until(code, "consumed");
  consumer.close();
  await eventually(async () => assert.equal((await api.topic("orders")).consumers, 0));
  for (const code of await api.publishAll("orders", ["3", "4", "5"])) await api.until(code, "not_consumed");
  await api.publish("bills", "6");

  const page = await open("#/Topics/orders");
  await page.getByRole("button", { name: "Purge…" }).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByText("Waiting", { exact: true }).click();
  await dialog.getByRole("button", { name: "Continue" }).click();
  await shows(dialog, "3 waiting messages");
  const action = dialog.getByRole("button", { name: "Delete" });
  assert.ok(await action.isDisabled(), "nothing is typed yet");
  await dialog.getByRole("textbox").fill("order");
  assert.ok(await action.isDisabled(), "a wrong name is typed");
  await dialog.getByRole("textbox").press("Enter");
  assert.equal((await api.topic("orders")).counts.all, 5, "Enter with a wrong name deletes nothing");
  await dialog.getByRole("textbox").fill("orders");
  await action.click();
  await shows(page.locator(".toasts"), /Deleted 3 messages of .orders/);
  assert.deepEqual((await api.topic("orders")).counts, { all: 2, accepted: 0, notConsumed: 0, consumed: 2 });
  assert.equal((await api.topic("bills")).counts.all, 1);
  await shows(figure(page, "Waiting"), "0");

  await page.getByRole("button", { name: "Purge…" }).click();
  await dialog.getByText("All", { exact: true }).click();
  await dialog.getByRole("button", { name: "Continue" }).click();
  await shows(dialog, "all 2 messages");
  await page.keyboard.press("Escape");
  await counted(dialog, 0);
  assert.equal((await api.topic("orders")).counts.all, 2, "Esc deletes nothing");
}));

test("values change in place while the pointer is in the table", scene(async ({ api, open }) => {
  await api.publishAll("first", ["1", "2"]);
  await api.publishAll("second", ["1"]);
  const page = await open("#/Topics");
  await listed(page, ["first", "second"]);
  await rows(page).first().hover();
  await api.publishAll("second", ["2", "3", "4"]);
  await shows(rows(page).nth(1), /second 4/);
  assert.deepEqual(await names(page), ["first", "second"]);
  await page.mouse.move(0, 0);
  await listed(page, ["second", "first"]);
  await go(page, "#/Topics?sort=name");
  await listed(page, ["first", "second"]);
}));

test("topics that no path can have are opened, watched, connected to and purged", scene(async ({ server, api, open, tolerate }) => {
  // What is purged is gone.
  tolerate(/status of 404/);
  for (const topic of [".", ".."]) {
    await api.publish(topic, "first");
    const page = await open("#/Topics");
    await page.getByRole("searchbox").fill(topic);
    await rows(page).filter({ has: page.locator(`[title="\u2068${topic}\u2069"]`) }).click();
    await shows(page.locator("h1"), topic);
    await shows(figure(page, "Waiting"), "1");

    await go(page, `#/Try?topic=${topic}&watch=${topic}&how=javascript`);
    await shows(page.locator(".watch-head"), "watching");
    const code = await page.locator(".snippet-code").nth(0).innerText();
    const url = code.match(/"(ws:[^"]+)"/)[1];
    // As the page itself, under its policy.
    const said = await page.evaluate(({ url, key }) => new Promise((done, fail) => {
      const socket = new WebSocket(url);
      socket.onerror = () => fail(new Error(`${url} cannot be connected to`));
      socket.onmessage = ({ data }) => { if (data.includes("enter the secret key")) socket.send(key); else { socket.close(); done(data); } };
    }), { url, key: server.key });
    assert.equal(said, "Secret key matching succeeded");
    await api.publish(topic, "seen as it comes");
    await shows(page.locator("main"), "seen as it comes");

    await go(page, `#/Topics/${topic}`);
    await page.getByRole("button", { name: "Purge…" }).click();
    const dialog = page.locator("dialog[open]");
    await dialog.getByText("All", { exact: true }).click();
    await dialog.getByRole("button", { name: "Continue" }).click();
    await dialog.getByRole("textbox").fill(topic);
    await dialog.getByRole("button", { name: "Delete" }).click();
    await shows(page.locator(".toasts"), "Deleted 2 messages");
    await page.context().close();
  }
}));
