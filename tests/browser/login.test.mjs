import assert from "node:assert/strict";
import { test } from "node:test";
import { login, scene, shows } from "./support/scene.mjs";

const online = (page) => page.locator(".connection.online").waitFor();
const asksForKey = (page) => page.locator("input[name=key]").waitFor();

test("a wrong key is called wrong, the right one lets in", scene(async ({ server, visitor, tolerate }) => {
  tolerate(/status of 401/);
  const page = await (await visitor()).newPage();
  await page.goto(`${server.url}/`);
  await login(page, "");
  await shows(page.locator("[role=alert]"), "Enter the key.");
  await login(page, "wrong");
  await shows(page.locator("[role=alert]"), "This key is wrong");
  assert.equal(await page.evaluate(() => document.activeElement.name), "key", "the next try begins in the field");
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length]), [0, 0], "a wrong key is not kept");
  await login(page, server.key);
  await online(page);
  await shows(page.locator("h1"), "Overview");
}));

test("the published key is told to a newcomer, and no other", scene({ mq: { secretKey: "dpmq" } }, async ({ server, visitor }) => {
  const page = await (await visitor()).newPage();
  await page.goto(`${server.url}/`);
  await shows(page.locator(".field-hint").first(), "This server uses the published key: enter dpmq.");
}));

test("a key of one's own is not told", scene({ mq: { secretKey: "a key of ours" } }, async ({ server, visitor }) => {
  const page = await (await visitor()).newPage();
  const told = page.waitForResponse(`${server.url}/api/login`);
  await page.goto(`${server.url}/`);
  assert.deepEqual(await (await told).json(), { keyIsPublished: false });
  await shows(page.locator(".field-hint").first(), "The value of mq.secretKey");
}));

test("a key may have any letters", scene({ mq: { secretKey: "钥匙 é #1" } }, async ({ open }) => {
  await shows((await open()).locator("h1"), "Overview");
}));

test("the key is this tab's: a reload keeps it, another tab asks again", scene(async ({ server, open }) => {
  const page = await open("#/About");
  await page.reload();
  await online(page);
  await shows(page.locator("h1"), "About");
  const other = await page.context().newPage();
  await other.goto(`${server.url}/`);
  await asksForKey(other);
  assert.equal(await page.evaluate((key) => JSON.stringify(localStorage).includes(key) || document.cookie.includes(key), server.key), false);
}));

test("a key that is remembered opens other tabs, until somebody logs out", scene(async ({ server, visitor }) => {
  const context = await visitor();
  const page = await context.newPage();
  await page.goto(`${server.url}/`);
  await login(page, server.key, { remember: true });
  await online(page);
  await page.close();

  const second = await context.newPage();
  await second.goto(`${server.url}/#/Topics`);
  await online(second);
  await second.getByRole("button", { name: "Log out" }).click();
  await asksForKey(second);
  assert.deepEqual(await second.evaluate(() => [sessionStorage.getItem("dpmq.key"), localStorage.getItem("dpmq.key")]), [null, null]);
  await second.reload();
  await asksForKey(second);
}));

test("the way to a view leads there after the login", scene(async ({ server, open }) => {
  const page = await open("#/Messages?topic=orders");
  await shows(page.locator("h1"), "Messages");
  assert.equal(page.url(), `${server.url}/#/Messages?topic=orders`);
}));

test("the key can be looked at while it is typed", scene(async ({ server, visitor }) => {
  const page = await (await visitor()).newPage();
  await page.goto(`${server.url}/`);
  const field = page.locator("input[name=key]");
  assert.equal(await field.getAttribute("type"), "password");
  await page.getByRole("button", { name: "Show the key" }).click();
  assert.equal(await field.getAttribute("type"), "text");
  assert.equal(await field.getAttribute("autocomplete"), "current-password");
}));
