import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer, eventually } from "./support/client.mjs";
import { counted, go, scene, shows } from "./support/scene.mjs";

const HOSTILE = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "javascript:alert(1)",
  "\"'><svg onload=alert(1)>",
  "</textarea></code><iframe src=javascript:alert(1)>",
  "\u202egnp.exe\u2066",
  "nul \u0000 esc \u001b[31m bell \u0007 del \u007f",
  "${alert(1)} {{alert(1)}} %3Cscript%3E",
  '{"__proto__": {"x": 1}, "<b>": "<img src=x onerror=alert(1)>"}',
  " \t\n ",
];

/** Of what no view has any. */
const foreign = (page) => page.evaluate(() => [...document.querySelectorAll("script:not([src^='view/']), iframe, object, embed, svg[onload], img:not([src^='view/']), b[onclick], [onerror], [href^='javascript:' i]")].map((one) => one.outerHTML));

/** The text is on the page as it is, apart from spaces and what is made visible. */
async function shown(page, where, text) {
  const signs = /\\u[0-9a-f]{4}|\\[nrt]|⟨[0-9A-F]{2}⟩|⟨U\+[0-9A-F]{4}⟩|[→↵·]/g;
  const bare = (some) => some.replace(signs, "").replace(/[\s\u0000-\u001f\u007f\u202e\u2066]/g, "");
  await eventually(async () => assert.ok(bare(await where.first().innerText()).includes(bare(text)), text));
  assert.deepEqual(await foreign(page), [], `${JSON.stringify(text)} at ${page.url()}`);
  assert.doesNotMatch(await where.first().innerText(), /[\u0000-\u0008\u202a-\u202e]/, "control characters are not there as they are");
}

test("hostile data is shown as text in lists, details, searches and feeds", scene(async ({ api, open }) => {
  const page = await open("#/Try?topic=orders&watch=orders");
  await shows(page.locator(".watch-head"), "watching");
  const codes = await api.publishAll("orders", HOSTILE);
  await counted(page.locator(".feed li"), HOSTILE.length);
  for (const [i, text] of HOSTILE.entries()) {
    const line = page.locator(".feed li").nth(HOSTILE.length - 1 - i);
    await line.locator("summary").click();
    await shown(page, line.locator(".feed-data"), text);
  }
  for (const [i, text] of HOSTILE.entries()) {
    await go(page, "#/Messages");
    await counted(page.locator("tbody tr"), HOSTILE.length);
    await shown(page, page.locator("tbody tr").nth(HOSTILE.length - 1 - i), text);
    for (const as of ["text", "hex", "json"]) {
      await go(page, `#/Messages/${codes[i]}?as=${as}`);
      await shows(page.locator("aside.detail"), codes[i]);
      assert.deepEqual(await foreign(page), [], `${JSON.stringify(text)} as ${as}`);
    }
    await go(page, `#/Messages/${codes[i]}?as=text`);
    await shown(page, page.locator("aside.detail"), text);
    await page.getByRole("button", { name: "Duplicate as new message" }).click();
    await page.locator("dialog[open]").waitFor();
    assert.deepEqual(await foreign(page), []);
    await page.keyboard.press("Escape");
    await go(page, `#/Messages?q=${encodeURIComponent(text)}`);
    await counted(page.locator("tbody tr"), HOSTILE.filter((one) => one.includes(text)).length);
    assert.deepEqual(await foreign(page), []);
  }
}));

test("hostile topics and ids are shown as text in every view", scene(async ({ server, api, open, use }) => {
  const names = HOSTILE.filter((name) => !name.includes("|"));
  for (const name of names) {
    await api.publish(name, "x");
    await use(Consumer.connect(server, name, name));
  }
  const page = await open("#/Topics?sort=name");
  await counted(page.locator("tbody tr"), names.length);
  for (const name of names) await shown(page, page.locator("tbody"), name);
  await go(page, "#/Clients");
  await counted(page.locator("tbody tr"), names.length);
  for (const name of names) await shown(page, page.locator("tbody"), name);

  for (const name of names) {
    await go(page, `#/Topics/${encodeURIComponent(name)}`);
    await counted(page.locator(".client-table tbody tr"), 1);
    await shown(page, page.locator("h1"), name);
    await shown(page, page.locator(".client-table tbody"), name);
    await page.getByRole("button", { name: "Purge…" }).click();
    await page.locator("dialog[open]").getByText("All", { exact: true }).click();
    await page.getByRole("button", { name: "Continue" }).click();
    await page.locator("dialog[open] .topic-name").waitFor();
    assert.deepEqual(await foreign(page), []);
    await page.keyboard.press("Escape");
    await page.locator("dialog[open]").waitFor({ state: "detached" });
    await go(page, `#/Messages?topic=${encodeURIComponent(name)}`);
    await counted(page.locator("tbody tr"), 1);
    await page.locator("tbody tr").click();
    await shows(page.locator("aside.detail"), "Delivery to 1 consumer");
    assert.deepEqual(await foreign(page), []);
    await go(page, `#/Try?topic=${encodeURIComponent(name)}&watch=${encodeURIComponent(name)}`);
    await shows(page.locator(".watch-head"), "watching");
    assert.deepEqual(await foreign(page), []);
  }
}));

test("hostile addresses are text too", scene(async ({ open, tolerate }) => {
  tolerate(/status of 40[04]/);
  const page = await open();
  for (const text of HOSTILE) {
    const encoded = encodeURIComponent(text);
    for (const hash of [`#/Topics/${encoded}`, `#/Messages/${encoded}`, `#/Messages?q=${encoded}&topic=${encoded}&status=${encoded}&from=${encoded}&cursor=${encoded}`,
      `#/Clients?search=${encoded}&role=${encoded}`, `#/Config?q=${encoded}`, `#/Overview?range=${encoded}&day=${encoded}`, `#/${encoded}`]) {
      await go(page, hash);
      await page.locator("main h1").waitFor();
      assert.deepEqual(await foreign(page), [], hash);
    }
  }
}));
