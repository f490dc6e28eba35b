import assert from "node:assert/strict";
import { test } from "node:test";
import { pour } from "./support/client.mjs";
import { at, counted, scene, shows } from "./support/scene.mjs";

const rows = (page) => page.locator("tbody tr");
const told = (page) => page.locator(".search-told");

test("text is found in the data, without case, and within the filters", scene(async ({ api, open }) => {
  await api.publishAll("orders", ["A Needle", "hay", "needles: 50% <b>"]);
  await api.publish("bills", "needle");
  const page = await open("#/Messages");
  await page.getByRole("searchbox").fill("nEEdle");
  await page.keyboard.press("Enter");
  await at(page, "#/Messages?q=nEEdle");
  await counted(rows(page), 3);
  await shows(told(page), "3 found. Everything was searched: 4 messages.");
  await page.getByLabel("Topic", { exact: true }).fill("orders");
  await page.keyboard.press("Enter");
  await counted(rows(page), 2);
  await page.getByRole("searchbox").fill("50% <B>");
  await page.keyboard.press("Enter");
  await counted(rows(page), 1);
  await page.getByRole("searchbox").fill("not there");
  await page.keyboard.press("Enter");
  await shows(page.locator(".empty"), "No message matches");
  await page.getByRole("searchbox").fill("");
  await at(page, "#/Messages?topic=orders");
  await counted(rows(page), 3);
}));

test("a search stops at a page of matches, and goes on", scene(async ({ server, open }) => {
  await pour(server, "orders", "desk", 120);
  const page = await open("#/Messages?q=large%20table");
  await counted(rows(page), 50);
  await shows(told(page), "50 found so far");
  await page.getByRole("button", { name: "Continue" }).click();
  await counted(rows(page), 100);
  await page.getByRole("button", { name: "Continue" }).click();
  await counted(rows(page), 120);
  await shows(told(page), "120 found. Everything was searched: 120 messages.");
}));

test("a search is cancelled, and begun again", scene(async ({ api, open }) => {
  await api.publish("orders", "needle");
  const page = await open("#/Messages");
  await page.getByRole("searchbox").waitFor();
  const network = await page.context().newCDPSession(page);
  const latency = (ms) => network.send("Network.emulateNetworkConditions", { offline: false, latency: ms, downloadThroughput: -1, uploadThroughput: -1 });
  await network.send("Network.enable");
  await latency(5000);
  await page.getByRole("searchbox").fill("needle");
  const [request] = await Promise.all([page.waitForRequest(/api\/search/), page.keyboard.press("Enter")]);
  const ended = page.waitForEvent("requestfailed", (one) => one === request);
  await page.getByRole("button", { name: "Cancel" }).click();
  await shows(told(page), "Cancelled: 0 found");
  await ended;
  await latency(0);
  await page.getByRole("button", { name: "Search again" }).click();
  await shows(told(page), "1 found. Everything was searched: 1 message.");
}));
