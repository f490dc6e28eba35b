import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./support/client.mjs";
import { at, counted, go, scene, shows, textOf } from "./support/scene.mjs";

const row = (page, name) => page.locator("tbody tr").filter({ has: page.locator(`code[title="${name}"]`) });

test("every setting has its value and where it comes from, the key is hidden", scene({ mq: { cleanTime: 7200 } }, async ({ server, api, open }) => {
  const { settings } = await api.get("/api/config");
  const page = await open("#/Config");
  await counted(page.locator("tbody tr"), settings.length);
  await shows(row(page, "mq.cleanTime"), /7200 .*259200 config\/application\.yaml/);
  await shows(row(page, "mq.sendCount"), /100 100 default/);
  await shows(row(page, "mq.secretKey"), "hidden");
  assert.ok(!(await page.content()).includes(server.key), "the key is nowhere in the page");
}));

test("each setting says whether it reloads or needs a restart", scene(async ({ api, open }) => {
  const { settings } = await api.get("/api/config");
  const page = await open("#/Config");
  await counted(page.locator("tbody tr"), settings.length);
  const told = await page.locator("tbody tr").evaluateAll((rows) => rows.map((one) => [one.querySelector("code").title, one.querySelector("[data-label=Change]").innerText.trim()]));
  assert.deepEqual(told, settings.map(({ key, reloads }) => [key, reloads ? "reloads" : "needs a restart"]));
  for (const [name, change] of [["mq.cleanTime", "reloads"], ["mq.secretKey", "reloads"], ["mq.segmentMiB", "needs a restart"], ["log.format", "needs a restart"]]) await shows(row(page, name), change);
  // Set by an argument of the command.
  await shows(row(page, "server.port"), "needs a restart");
}));

test("settings are filtered, in the address too", scene({ mq: { cleanTime: 7200 } }, async ({ open }) => {
  const page = await open("#/Config");
  await page.getByRole("searchbox").fill("cleantime");
  await counted(page.locator("tbody tr"), 1);
  await at(page, "#/Config?q=cleantime");
  await page.getByRole("searchbox").fill("");
  await page.getByLabel("Only what differs from the default").check();
  await at(page, "#/Config?changed=1");
  await eventually(async () => assert.ok(await page.locator("tbody tr").count() < 10));
  await counted(row(page, "mq.cleanTime"), 1);
  await counted(row(page, "mq.sendCount"), 0);
}));

test("what was changed is copied as YAML, without the key", scene({ mq: { cleanTime: 7200 } }, async ({ server, open }) => {
  const page = await open("#/Config", { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("button", { name: "Copy the changed ones as YAML" }).click();
  await shows(page.locator(".toasts"), "Copied");
  const yaml = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(yaml, /^mq:\n(.*\n)*  cleanTime: 7200$/m);
  assert.ok(!yaml.includes(server.key));
}));

test("about names the version, and its links lead somewhere", scene(async ({ server, api, open }) => {
  const page = await open("#/About");
  await shows(page.locator("main"), `DPMQ ${(await api.overview()).version}`);
  await shows(page.locator("main"), server.url);
  const links = await page.locator("main a[href]:not([href^='#'], [href^='http'])").evaluateAll((all) => all.map((one) => one.href));
  assert.ok(links.length > 5);
  const dead = [];
  for (const link of links) {
    const { status } = await fetch(link);
    if (status !== 200) dead.push(`${status} ${new URL(link).pathname}`);
  }
  assert.deepEqual(dead, []);
  assert.match(await textOf(page.locator(".keys")), /Go to Topics/);
  await go(page, "#/Overview");
  await shows(page.locator("h1"), "Overview");
}));
