import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./support/client.mjs";
import { at, counted, go, scene, shows } from "./support/scene.mjs";

const focused = (page) => page.evaluate(() => {
  const one = document.activeElement;
  return one.closest("tr") ? `row ${[...one.closest("tbody").children].indexOf(one.closest("tr"))}` : one.tagName.toLowerCase();
});
const focuses = (page, expected) => eventually(async () => assert.equal(await focused(page), expected));

test("g and a letter go to each view, ? lists the keys", scene(async ({ open }) => {
  const page = await open();
  await page.locator("h1").waitFor();
  for (const [letter, title] of [["t", "Topics"], ["m", "Messages"], ["c", "Clients"], ["y", "Try it"], ["s", "Configuration"], ["a", "About"], ["o", "Overview"]]) {
    await page.keyboard.press("g");
    await page.keyboard.press(letter);
    await shows(page.locator("h1"), title);
    await focuses(page, "h1");
  }
  await page.keyboard.press("?");
  await shows(page.locator("dialog[open]"), "Go to Messages");
  await page.keyboard.press("Escape");
  await counted(page.locator("dialog[open]"), 0);
}));

test("/ goes to the search of every view that has one, and typing there is typing", scene(async ({ api, open }) => {
  await api.publish("orders", "x");
  const page = await open();
  await page.locator("main h1").waitFor();
  for (const view of ["Topics", "Messages", "Clients", "Config"]) {
    await go(page, `#/${view}`);
    await page.getByRole("searchbox").first().waitFor();
    // The new page is there when its heading has the focus.
    await focuses(page, "h1");
    await page.keyboard.press("/");
    await focuses(page, "input");
    await page.keyboard.type("g m ? /");
    assert.equal(await page.getByRole("searchbox").first().inputValue(), "g m ? /");
    assert.match(page.url(), new RegExp(`#/${view}`));
  }
}));

test("arrows move between rows, Enter opens, Esc closes, and the focus comes back", scene(async ({ api, open }) => {
  const codes = await api.publishAll("orders", ["1", "2", "3"]);
  const page = await open("#/Messages");
  await counted(page.locator("tbody tr"), 3);
  await page.locator("tbody tr").first().focus();
  for (const [key, row] of [["ArrowDown", 1], ["ArrowDown", 2], ["ArrowDown", 2], ["Home", 0], ["End", 2], ["ArrowUp", 1]]) {
    await page.keyboard.press(key);
    await focuses(page, `row ${row}`);
  }
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none", "the focus is seen");
  await page.keyboard.press("Enter");
  await at(page, `#/Messages/${codes[1]}`);
  await focuses(page, "aside");
  await page.keyboard.press("ArrowDown");
  await at(page, `#/Messages/${codes[0]}`);
  await page.keyboard.press("ArrowUp");
  await at(page, `#/Messages/${codes[1]}`);
  await page.keyboard.press("Escape");
  await at(page, "#/Messages");
  await focuses(page, "row 1");
}));

test("a dialog keeps the focus, Esc closes it, and the focus is where it was", scene(async ({ api, open }) => {
  const code = await api.publish("orders", "x");
  await api.until(code, "not_consumed");
  const page = await open(`#/Messages/${code}`);
  const button = page.getByRole("button", { name: "Delete" });
  await button.focus();
  await page.keyboard.press("Enter");
  const dialog = page.locator("dialog[open]");
  await dialog.waitFor();
  assert.equal(await focused(page), "input", "the name can be typed at once");
  for (let i = 0; i < 6; i++) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest("dialog") !== null), "the focus stays in the dialog");
  }
  await page.keyboard.press("Escape");
  await counted(dialog, 0);
  assert.ok(await button.evaluate((one) => one === document.activeElement), "the focus came back");
  await at(page, `#/Messages/${code}`);
}));

test("everything that has the focus shows it", scene(async ({ api, open }) => {
  await api.publish("orders", "x");
  const page = await open();
  for (const view of ["Overview", "Topics", "Topics/orders", "Messages", "Clients", "Try", "Config", "About"]) {
    await go(page, `#/${view}`);
    await page.locator("main h1").waitFor();
    if (view !== "Overview") await focuses(page, "h1");
    for (let i = 0; i < 25; i++) {
      await page.keyboard.press("Tab");
      const unseen = await page.evaluate(() => {
        const one = document.activeElement;
        // Within a field for a time, the browser itself shows which part has the focus.
        if (one === document.body || one.type === "datetime-local") return null;
        // The outline of a link may be that of all it stands for.
        const seen = [getComputedStyle(one), getComputedStyle(one, "::after")].some((style) => style.outlineStyle !== "none" && style.outlineWidth !== "0px");
        return seen ? null : one.outerHTML.slice(0, 200);
      });
      assert.equal(unseen, null, view);
    }
  }
}));

test("the first Tab skips to the content", scene(async ({ open }) => {
  const page = await open("#/About");
  await page.locator("h1").waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await focuses(page, "main");
}));
