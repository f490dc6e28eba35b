import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./support/client.mjs";
import { Nginx } from "./support/nginx.mjs";
import { figure, go, login, scene, shows } from "./support/scene.mjs";

const told = (page) => page.locator(".connection");

/** The page behind a proxy, logged in. */
async function open({ server, visitor, allow }, proxy, path = "/") {
  allow(proxy.address);
  const page = await (await visitor()).newPage();
  await page.goto(`${proxy.url}${path}`);
  await login(page, server.key);
  return page;
}

/** Published to, the page shows it without being asked. */
async function isLive(page, api) {
  await shows(told(page), "Connected");
  await api.publish("orders", "1");
  await shows(page.locator(".statuses"), "All 1");
}

test("behind a bare proxy_pass of nginx the page is live", scene(async (made) => {
  const proxy = await made.use(Nginx.start(made.server, "location / { proxy_pass http://SERVER; }"));
  const page = await open(made, proxy);
  await isLive(page, made.api);
  const streams = () => page.evaluate(() => performance.getEntriesByType("resource").filter(({ name }) => name.endsWith("/api/overview")).length);
  const before = await streams();
  await go(page, "#/Try?topic=orders&watch=orders");
  await shows(page.locator(".watch-head"), "watching");
  await made.api.publish("orders", "through the proxy");
  await shows(page.locator(".feed"), "through the proxy");
  assert.equal(await streams(), before, "the stream came through, nothing was polled");
}));

test("under a path of a host the page finds everything", scene(async (made) => {
  const proxy = await made.use(Nginx.start(made.server, "location /tools/mq/ { proxy_pass http://SERVER/; }"));
  const page = await open(made, proxy, "/tools/mq/");
  await isLive(page, made.api);
  await go(page, "#/Topics/orders");
  await shows(figure(page, "Waiting"), "1");
  await go(page, "#/Try?topic=orders&how=socket");
  await shows(page.locator(".connect"), `ws://${proxy.address}/tools/mq/Consumers/Conn/orders/my-consumer`);
  await go(page, "#/Messages?topic=orders");
  await page.getByRole("button", { name: "Export" }).click();
  const download = page.waitForEvent("download");
  await page.locator("dialog[open]").getByRole("button", { name: "Export" }).click();
  assert.match((await download).url(), /\/tools\/mq\/api\/exports\//);
  await go(page, "#/About");
  await shows(page.locator("main"), `${proxy.url}/tools/mq`);
}));

test("where something holds streams back the page asks again and again", scene(async (made) => {
  const holding = "location / { proxy_pass http://SERVER; proxy_ignore_headers X-Accel-Buffering; proxy_buffers 8 64k; proxy_buffer_size 64k; }";
  const proxy = await made.use(Nginx.start(made.server, holding));
  const page = await open(made, proxy);
  await isLive(page, made.api);
  for (let n = 2; n <= 4; n++) {
    await made.api.publish("orders", String(n));
    await shows(page.locator(".statuses"), `All ${n}`);
    assert.equal(await told(page).innerText().then((text) => text.includes("Disconnected")), false);
  }
  made.tolerate(/ERR_|status of 50/);
  await made.server.kill();
  await shows(told(page), "Disconnected");
  await made.server.startAgain();
  await shows(told(page), "Connected");
  await eventually(() => page.locator(".offline-note").count().then((n) => n === 0));
}));
