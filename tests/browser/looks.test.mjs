import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Consumer, eventually, Producer } from "./support/client.mjs";
import { accessible, fits, go, login, OUTPUT, scene } from "./support/scene.mjs";

/** Whether every view is to be looked at: `output/<view>-<theme>-<language>-<width>.png`, in all looks there are. */
const PICTURES = process.env.DPMQ_PICTURES === "1";
const LONG = "a.very.long.name.without.a.single.space.".repeat(6);

/** Topics that flow, wait and have long names; data that is short, long, JSON and hostile. */
async function fill({ server, api, use }) {
  const consumer = await use(Consumer.connect(server, "orders", "till-1"));
  await use(Consumer.connect(server, "orders", LONG));
  const producer = await use(Producer.connect(server, "orders", "desk"));
  await producer.send(Array.from({ length: 60 }, (_, i) => JSON.stringify({ id: 1000 + i, customer: "Zoë 王芳", items: [{ sku: "A-17", n: i % 5 }], total: 12.5 * i })));
  await consumer.until(60);
  const json = await api.publish("orders", JSON.stringify({ id: 1, address: { city: "Zürich", lines: ["a", "b", null, true] }, note: "x".repeat(400) }));
  await api.until(json, "consumed");
  await api.publish(LONG, "x".repeat(3000));
  await api.publishAll("订单", ["你好，世界", "\u202egnp.exe \u0000\u001b[31m <b>bold</b>", " "]);
  const waiting = await api.publish("bills", "plain text\nof two lines");
  await api.until(waiting, "not_consumed");
  return { json, waiting };
}

/** Every state worth looking at: its name, and the way to it. @returns {[string, (page: import("playwright-core").Page) => Promise<unknown>][]} */
function states({ json, waiting }) {
  const to = (hash, wait) => async (page) => {
    await go(page, hash);
    await page.locator(wait).first().waitFor();
  };
  const button = (page, name) => page.locator("main").getByRole("button", { name }).first();
  const dialog = (hash, wait, ...names) => async (page) => {
    await to(hash, wait)(page);
    for (const name of names) await button(page, name).click();
    await page.locator("dialog[open]").waitFor();
  };
  const day = new Intl.DateTimeFormat("sv", { timeZone: "Asia/Shanghai" }).format();
  return [
    ["overview", to("#/Overview", ".traffic canvas")],
    ["overview-day", to(`#/Overview?day=${day}`, ".week + div canvas")],
    ["topics", to("#/Topics", "tbody tr")],
    ["topics-none", to("#/Topics?search=nothing", ".empty")],
    ["topic", to("#/Topics/orders", ".client-table")],
    ["topic-long", to(`#/Topics/${LONG}`, ".topic-stats")],
    ["purge", dialog("#/Topics/orders", ".client-table", /Purge|清空/)],
    ["purge-confirm", async (page) => {
      await dialog("#/Topics/orders", ".client-table", /Purge|清空/)(page);
      await page.locator("dialog[open] input[value=all]").check();
      await page.locator("dialog[open] button[type=submit]").click();
      await page.locator("dialog[open] .topic-name").waitFor();
    }],
    ["messages", to("#/Messages", "tbody tr")],
    ["messages-none", to("#/Messages?topic=nothing&status=consumed&range=15m", ".empty")],
    ["messages-found", to("#/Messages?q=A-17", "tbody tr:nth-child(50)")],
    ["message-json", to(`#/Messages/${json}`, ".timeline")],
    ["message-waiting", to(`#/Messages/${waiting}?as=text`, ".timeline .why")],
    ["message-hex", to(`#/Messages/${json}?as=hex`, ".data-hex")],
    ["message-missing", to(`#/Messages/${"0".repeat(32)}5f000000`, ".missing .tips, .missing strong")],
    ["message-publish", dialog(`#/Messages/${waiting}`, ".timeline", /Duplicate as new message|复制为新消息/)],
    ["message-delete", dialog(`#/Messages/${waiting}`, ".timeline", /^(Delete|删除)/)],
    ["messages-export", dialog("#/Messages?topic=orders", "tbody tr", /^(Export|导出)/)],
    ["clients", to("#/Clients", "tbody tr")],
    ["clients-none", to("#/Clients?search=nothing", ".empty")],
    ["client-disconnect", dialog("#/Clients?role=producer", "tbody tr:only-child", /Disconnect|断开/)],
    ["try", to("#/Try?topic=orders&watch=bills", ".watch-head .good")],
    ["try-javascript", to("#/Try?topic=orders&how=javascript", ".snippets")],
    ["config", to("#/Config", "tbody tr")],
    ["about", to("#/About", ".keys")],
    ["keys", async (page) => {
      await to("#/About", ".keys")(page);
      await page.locator("h1").click();
      await page.keyboard.press("?");
      await page.locator("dialog[open]").waitFor();
    }],
  ];
}

const still = (page) => page.evaluate(() => Promise.allSettled(document.getAnimations().map((one) => one.finished)));

async function picture(page, name, whole = true) {
  if (!PICTURES) return;
  await mkdir(OUTPUT, { recursive: true });
  await page.screenshot({ path: join(OUTPUT, `${name}.png`), fullPage: whole });
}

for (const colorScheme of ["light", "dark"]) {
  for (const [locale, short] of [["en-US", "en"], ["zh-CN", "zh"]]) {
    for (const width of [1280, 360]) {
      const look = `${colorScheme}-${short}-${width}`;
      // The colours are the same in both languages, the widths are not, and what fits is the same in both themes.
      const withAxe = (width === 360) === (short === "zh");
      if (!PICTURES && colorScheme === "dark" && look !== "dark-en-1280") continue;
      test(`every view fits and is accessible: ${look}`, scene({ seconds: 240, old: [{ topic: "invoices", count: 12, age: 720 }, { topic: LONG, count: 2, age: 900 }] }, async (made) => {
        const { server, visitor, tolerate } = made;
        tolerate(/status of 40[14]/);
        const filled = await fill(made);
        const page = await (await visitor({ locale, colorScheme, viewport: { width, height: width > 500 ? 800 : 740 } })).newPage();
        const check = async (name) => {
          await still(page);
          await fits(page, name);
          await picture(page, `${name}-${look}`, await page.locator("dialog[open]").count() === 0);
          if (withAxe) await accessible(page, name);
        };

        await page.goto(`${server.url}/`);
        await login(page, "wrong");
        await page.locator(".field-error:not(:empty)").waitFor();
        await check("login");
        await login(page, server.key);
        const wrong = [];
        for (const [name, reach] of states(filled)) {
          try {
            await reach(page);
            await check(name);
          } catch (error) {
            wrong.push(`${name}: ${error.message}`);
          }
          if (await page.locator("dialog[open]").count()) await page.keyboard.press("Escape");
          await eventually(async () => await page.locator("dialog[open]").count() === 0);
        }
        if (wrong.length) throw new Error(`\n${wrong.join("\n\n")}`);
      }));
    }
  }
}
