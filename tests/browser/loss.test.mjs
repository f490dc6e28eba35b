import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer, eventually } from "./support/client.mjs";
import { figure, go, scene, shows } from "./support/scene.mjs";

// Five seconds are promised; a busy machine gets some more.
const WITHIN = { within: 8000 };
const told = (page) => page.locator(".connection");

test("a killed server is seen to be gone, and its return, without a reload", scene({ mq: { checkSpeed: 60 } }, async ({ server, api, open, use, tolerate }) => {
  tolerate(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE/);
  await api.publish("orders", "before");
  const page = await open();
  await page.evaluate(() => { globalThis.sameDocument = true; });
  await shows(page.locator(".statuses"), "All 1");
  // The other views are loaded meanwhile.
  await eventually(() => page.evaluate(() => performance.getEntriesByType("resource").some(({ name }) => name.endsWith("/topics/list.js"))));

  await server.kill();
  await shows(told(page), "Disconnected", WITHIN);
  await shows(page.locator(".offline-note"), "The server does not answer");
  await shows(page.locator(".verdict").first(), "Unknown");
  await shows(page.locator(".statuses"), "All 1");
  await go(page, "#/Topics");
  await shows(page.locator("main"), "The server cannot be reached", WITHIN);

  await server.startAgain();
  await api.publishAll("bills", ["after", "the return"]);
  await shows(told(page), "Connected", WITHIN);
  await shows(page.locator("tbody"), /bills/, WITHIN);
  await go(page, "#/Overview");
  await shows(page.locator(".statuses"), "All 3", WITHIN);
  await use(Consumer.connect(server, "orders", "till"));
  await shows(figure(page, "Consumers"), "1", WITHIN);
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true, "the page was loaded anew");
}));

test("what is watched goes on after a return, and says that something is missing", scene(async ({ server, api, open, tolerate }) => {
  tolerate(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE/);
  const page = await open("#/Try?topic=orders&watch=orders");
  await shows(page.locator(".watch-head"), "watching");
  await api.publish("orders", "before");
  await shows(page.locator(".feed"), "before");
  await server.kill();
  await shows(page.locator(".watch-head"), "connection lost", WITHIN);
  await server.startAgain();
  await shows(page.locator(".watch-head"), "watching", WITHIN);
  await api.publish("orders", "after");
  await shows(page.locator(".feed"), /after .* The connection was lost here.* before/);
}));

test("a key that was changed meanwhile leads to the login, which says so", scene(async ({ server, open, tolerate }) => {
  tolerate(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|status of 401/);
  const page = await open("#/Topics");
  await server.kill();
  await server.startAgain({ secretKey: "another key" });
  await shows(page.locator("[role=alert]"), "the server no longer accepts the key", WITHIN);
}));
