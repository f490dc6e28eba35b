import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./support/client.mjs";
import { scene, shows } from "./support/scene.mjs";

const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const dark = (page, expected) => eventually(async () => assert.equal((await background(page)).match(/\d+/g).slice(0, 3).every((part) => part < 80), expected));
const language = (page) => page.evaluate(() => document.documentElement.lang);

test("the language is the browser's, and can be changed for good", scene(async ({ server, open }) => {
  const page = await open("", { locale: "zh-CN" });
  await shows(page.locator("h1"), "概览");
  assert.equal(await language(page), "zh-CN");
  await page.getByRole("button", { name: "English" }).click();
  await shows(page.locator("h1"), "Overview");
  await page.reload();
  await shows(page.locator("h1"), "Overview");
  assert.equal(await language(page), "en");
  const other = await page.context().newPage();
  await other.goto(`${server.url}/`);
  await shows(other.locator("h1"), "Log in");
}));

for (const [locale, title] of [["en-GB", "Overview"], ["de-DE", "Overview"], ["zh-TW", "概览"]]) {
  test(`a browser in ${locale} gets "${title}"`, scene(async ({ open }) => {
    await shows((await open("", { locale })).locator("h1"), title);
  }));
}

test("no view is half in the other language", scene(async ({ api, open }) => {
  const code = await api.publish("orders", "x");
  const page = await open("", { locale: "zh-CN" });
  for (const hash of ["Overview", "Topics", "Topics/orders", "Messages", `Messages/${code}`, "Clients", "Try?topic=orders", "Config", "About"]) {
    await page.goto(`${page.url().split("#")[0]}#/${hash}`);
    await eventually(async () => assert.match(await page.locator("main").innerText(), /\p{Script=Han}/u));
    const english = await page.evaluate(() => [...document.querySelectorAll("h1, h2, h3, th, label, button, nav a, .field-hint, p.quiet, [aria-label]")]
      .map((one) => one.getAttribute("aria-label") ?? one.innerText)
      .filter((text) => /[A-Za-z]{3,} [A-Za-z]{2,} [A-Za-z]{2,}/.test(text) && !/\p{Script=Han}/u.test(text)));
    assert.deepEqual(english, [], hash);
  }
}));

test("the theme is the system's, light or dark, and is kept", scene(async ({ open }) => {
  const page = await open("", { colorScheme: "dark" });
  await dark(page, true);
  await page.emulateMedia({ colorScheme: "light" });
  await dark(page, false);
  await page.getByRole("button", { name: "Colours: as the system. Change to light" }).click();
  await page.getByRole("button", { name: "Colours: light. Change to dark" }).click();
  await dark(page, true);
  await page.reload();
  await page.getByRole("button", { name: "Colours: dark. Change to the system’s" }).waitFor();
  await dark(page, true);
  await page.getByRole("button", { name: "Colours: dark. Change to the system’s" }).click();
  await dark(page, false);
}));
