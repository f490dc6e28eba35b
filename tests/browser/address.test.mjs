import assert from "node:assert/strict";
import { test } from "node:test";
import { at, counted, go, login, scene, shows } from "./support/scene.mjs";

const rows = (page) => page.locator("tbody tr");

test("back, forward and reload restore views and filters", scene(async ({ api, open }) => {
  await api.publishAll("orders", ["1", "2"]);
  const bill = await api.publish("bills", "3");
  await api.until(bill, "not_consumed");
  const page = await open("#/Messages?topic=orders");
  await counted(rows(page), 2);
  await page.getByLabel("Status", { exact: true }).selectOption("consumed");
  await counted(rows(page), 0);
  await page.locator("nav.nav").getByRole("link", { name: "Topics" }).click();
  await shows(page.locator("h1"), "Topics");

  await page.goBack();
  await at(page, "#/Messages?topic=orders&status=consumed");
  assert.equal(await page.getByLabel("Status", { exact: true }).inputValue(), "consumed");
  assert.equal(await page.getByLabel("Topic", { exact: true }).inputValue(), "orders");
  await page.goBack();
  await counted(rows(page), 2);
  assert.equal(await page.getByLabel("Status", { exact: true }).inputValue(), "");
  await page.goForward();
  await counted(rows(page), 0);
  await page.reload();
  await at(page, "#/Messages?topic=orders&status=consumed");
  assert.equal(await page.getByLabel("Topic", { exact: true }).inputValue(), "orders");

  await go(page, `#/Messages/${bill}?topic=bills&as=hex`);
  await shows(page.locator("aside.detail"), "000000 33");
  await page.reload();
  await shows(page.locator("aside.detail"), "000000 33");
  await counted(rows(page), 1);
}));

for (const address of ["", "#/", "#/Console", "#Console", "#/nothing", "#/overview", "#/Overview?x=%", "#/%E0%A4%A"]) {
  test(`"/${address}" is the overview`, scene(async ({ open }) => {
    const page = await open(address);
    await shows(page.locator("h1"), "Overview");
    assert.match(await page.title(), /^(.* · )?Overview · DPMQ$/);
    assert.equal(await page.locator("nav.nav [aria-current=page]").innerText(), "Overview");
  }));
}

test("a topic of any letters is in the address and comes back from it", scene(async ({ api, open }) => {
  for (const topic of ["a/b", "50%", "#?&=+", "订单 📦", "...", "'\"<>"]) {
    await api.publish(topic, "x");
    const page = await open("#/Topics");
    await rows(page).filter({ has: page.locator(`[title*=${JSON.stringify(topic)}]`) }).click();
    await shows(page.locator("h1"), topic);
    await page.reload();
    await shows(page.locator("h1"), topic);
    await page.getByRole("link", { name: "See messages" }).click();
    await counted(rows(page), 1);
    assert.equal(await page.getByLabel("Topic", { exact: true }).inputValue(), topic);
    await page.context().close();
  }
}));

test("a file that is not there, and one that is", scene(async ({ server, visitor, tolerate }) => {
  tolerate(/status of 404/);
  const page = await (await visitor()).newPage();
  assert.equal((await page.goto(`${server.url}/view/nothing.js`)).status(), 404);
  const answer = await page.goto(`${server.url}/`);
  const policy = answer.headers()["content-security-policy"];
  assert.match(policy, /default-src 'self';/);
  assert.match(policy, /connect-src 'self';/);
  await login(page, server.key);
  await shows(page.locator("h1"), "Overview");
}));
