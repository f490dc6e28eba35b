import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer } from "./support/client.mjs";
import { counted, go, login, scene, shows } from "./support/scene.mjs";

/** A page that is logged in with this key. */
async function openWith({ server, visitor }, key, hash) {
  const page = await (await visitor()).newPage();
  await page.goto(`${server.url}/${hash}`);
  await login(page, key);
  await page.locator(".connection.online").waitFor();
  return page;
}

test("a key that may only look is offered nothing that changes", scene(async ({ server, api, visitor, use }) => {
  await use(Consumer.connect(server, "orders", "till"));
  const code = await api.publish("orders", "hello");
  const key = await server.newKey("reader", "console-read", "*");
  const page = await openWith({ server, visitor }, key, "#/Clients");
  await shows(page.locator("tbody"), "till");
  await counted(page.getByRole("button", { name: /Disconnect/ }), 0);
  await go(page, "#/Topics/orders");
  await page.getByRole("link", { name: "See messages" }).waitFor();
  await counted(page.getByRole("button", { name: /Purge/ }), 0);
  await go(page, `#/Messages/${code}`);
  await shows(page.locator("aside.detail"), "hello");
  await counted(page.getByRole("button", { name: /Delete|Duplicate as new message|Redeliver/ }), 0);
  await go(page, "#/Try");
  await shows(page.locator(".publish"), "Your key reader may only read");
  assert.ok(await page.getByRole("button", { name: "Send", exact: true }).isDisabled());
}));

test("a key that may change is offered it all", scene(async ({ server, api, visitor, use }) => {
  await use(Consumer.connect(server, "orders", "till"));
  const code = await api.publish("orders", "hello");
  const key = await server.newKey("operator", "console-read,console-change", "*");
  const page = await openWith({ server, visitor }, key, "#/Clients");
  await page.getByRole("button", { name: /Disconnect/ }).waitFor();
  await go(page, "#/Topics/orders");
  await page.getByRole("button", { name: /Purge/ }).waitFor();
  await go(page, `#/Messages/${code}`);
  await page.getByRole("button", { name: "Delete" }).waitFor();
}));

test("an action for another topic is refused with the reason", scene(async ({ server, visitor, tolerate }) => {
  tolerate(/status of 403/);
  const key = await server.newKey("clerk", "console-read,console-change", "orders*");
  const page = await openWith({ server, visitor }, key, "#/Messages");
  await shows(page.locator("[role=alert]"), /does not allow this.*the key clerk is for some topics only/);
  await go(page, "#/Try?topic=bills");
  await page.locator(".publish textarea").fill("x");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await shows(page.locator(".sent"), "the key clerk is not for this topic");
}));

test("a key that is not for the console is told so", scene(async ({ server, visitor, tolerate }) => {
  tolerate(/status of 403/);
  const key = await server.newKey("producer", "publish", "*");
  const page = await (await visitor()).newPage();
  await page.goto(`${server.url}/`);
  await login(page, key);
  await shows(page.locator("[role=alert]"), "it lacks the right console-read");
}));

test("a file of keys that cannot be used is told", scene(async ({ server, open }) => {
  await server.newKey("reader", "console-read", "*");
  const page = await open("#/Overview");
  await server.write("config/keys.yaml", "- {name: reader}\n");
  await shows(page.locator(".findings"), /named keys cannot be used.*config\/keys\.yaml: not a list of keys/);
}));

test("a key that is revoked is logged out at once", scene(async ({ server, visitor, tolerate }) => {
  tolerate(/status of 401|ERR_/);
  const key = await server.newKey("reader", "console-read", "*");
  const page = await openWith({ server, visitor }, key, "#/Overview");
  await server.run("key", "revoke", "reader");
  await shows(page.locator("[role=alert]"), "You have been logged out");
}));
