/** That what is asserted of every page would be seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "./support/client.mjs";
import { accessible, fits, scene } from "./support/scene.mjs";

for (const [what, pattern, misdeed] of [
  ["an error on the console", /console error: oops/, () => console.error("oops")],
  ["an exception", /thrown: Error: oops/, () => { setTimeout(() => { throw new Error("oops"); }); }],
  ["a script in the page", /policy violated: script-src/, () => {
    const script = document.createElement("script");
    script.textContent = "1";
    document.body.append(script);
  }],
  ["a connection to elsewhere", /policy violated: connect-src ws:\/\/localhost:9/, () => { new WebSocket("ws://localhost:9/"); }],
  ["a dialog", /dialog: oops/, () => { setTimeout(() => alert("oops")); }],
]) {
  test(`${what} is seen`, scene(async ({ open, judge, tolerate }) => {
    const page = await open("#/About");
    judge();
    await page.evaluate(misdeed);
    await eventually(() => assert.throws(judge, pattern));
    tolerate(/^/);
  }));
}

test("what keeps somebody out, and what is too wide, is seen", scene(async ({ open }) => {
  const page = await open("#/About");
  await page.locator("h1").waitFor();
  await page.evaluate(() => {
    const button = document.createElement("button");
    button.style.width = "3000px";
    document.querySelector("main").append(button);
  });
  await assert.rejects(accessible(page, "about"), /button-name/);
  await assert.rejects(fits(page, "about"), /is wider than the window/);
}));
