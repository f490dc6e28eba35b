import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Consumer, eventually } from "./support/client.mjs";
import { at, counted, login, scene, shows } from "./support/scene.mjs";

const rows = (page) => page.locator("tbody tr");
const detail = (page) => page.locator("aside.detail");
const previews = (page) => page.locator("tbody code.preview").allInnerTexts();
const listed = (page, expected) => eventually(async () => assert.deepEqual(await previews(page), expected));

/** Two of orders, consumed and not; one of bills. */
async function some({ server, api }) {
  const consumer = await Consumer.connect(server, "orders", "till");
  const consumed = await api.publish("orders", "first");
  await api.until(consumed, "consumed");
  consumer.close();
  await eventually(async () => assert.equal((await api.topic("orders")).consumers, 0));
  const waiting = await api.publish("orders", '{"n": 2, "name": "second"}');
  const bill = await api.publish("bills", "third");
  for (const code of [waiting, bill]) await api.until(code, "not_consumed");
  return { consumed, waiting, bill };
}

test("messages are listed newest first, filtered by topic and status, and loosened again", scene(async (made) => {
  await some(made);
  const page = await made.open("#/Messages");
  await listed(page, ["third", '{"n": 2, "name": "second"}', "first"]);
  await shows(rows(page).nth(2), /Consumed .* orders first 5 B/);
  await page.getByLabel("Topic", { exact: true }).fill("orders");
  await page.keyboard.press("Enter");
  await at(page, "#/Messages?topic=orders");
  await counted(rows(page), 2);
  await page.getByLabel("Status", { exact: true }).selectOption("consumed");
  await at(page, "#/Messages?topic=orders&status=consumed");
  await listed(page, ["first"]);
  await page.getByLabel("Status", { exact: true }).selectOption("accepted");
  await shows(page.locator(".empty"), "No message matches");
  await page.getByRole("button", { name: "Remove this filter: Status Accepted" }).click();
  await counted(rows(page), 2);
  await page.locator(".messages-filters").getByRole("button", { name: "Clear filters" }).click();
  await at(page, "#/Messages");
  await counted(rows(page), 3);
}));

test("messages are filtered by time, in the browser's zone", scene(async ({ api, open, tolerate }) => {
  const code = await api.publish("orders", "now");
  const { created } = await api.message(code);
  // The browser is in Shanghai, eight hours before Greenwich.
  const local = (unix) => new Date((unix + 8 * 3600) * 1000).toISOString().slice(0, 19);
  const page = await open("#/Messages");
  await page.getByRole("button", { name: "Last 15 min" }).click();
  await at(page, "#/Messages?range=15m");
  await counted(rows(page), 1);
  await page.getByRole("button", { name: "Any time" }).click();
  await page.getByLabel("From", { exact: true }).fill(local(created + 1));
  await page.getByLabel("From", { exact: true }).press("Enter");
  await at(page, `#/Messages?from=${created + 1}`);
  await counted(rows(page), 0);
  await page.getByLabel("From", { exact: true }).fill(local(created));
  await page.getByLabel("From", { exact: true }).press("Enter");
  await counted(rows(page), 1);
  tolerate(/status of 400.*from=/);
  await page.getByLabel("To", { exact: true }).fill(local(created - 1));
  await page.getByLabel("To", { exact: true }).press("Enter");
  await shows(page.locator(".messages-filters"), "nothing can match");
}));

test("Older and Newest go through pages, each message once", scene(async ({ api, open }) => {
  const all = Array.from({ length: 120 }, (_, i) => `message ${i}`);
  await api.publishAll("orders", all);
  const page = await open("#/Messages");
  const seen = [];
  for (const n of [50, 50, 20]) {
    await eventually(async () => {
      assert.equal(await rows(page).count(), n);
      assert.ok(!seen.includes((await previews(page))[0]), "another page");
    });
    seen.push(...await previews(page));
    if (n === 50) await page.getByRole("button", { name: "Older" }).click();
  }
  assert.deepEqual(seen, all.reverse());
  assert.ok(await page.getByRole("button", { name: "Older" }).isDisabled());
  await page.goBack();
  await eventually(async () => assert.deepEqual(await previews(page), seen.slice(50, 100)));
  await page.getByRole("button", { name: "Newest", exact: true }).click();
  await eventually(async () => assert.deepEqual(await previews(page), seen.slice(0, 50)));
}));

test("new messages wait until they are asked for; live, they come by themselves", scene(async ({ api, open }) => {
  await api.publish("orders", "one");
  const page = await open("#/Messages");
  await listed(page, ["one"]);
  await api.publish("orders", "two");
  await page.getByRole("button", { name: "1 new — show" }).click();
  await listed(page, ["two", "one"]);
  await page.getByRole("button", { name: "Live" }).click();
  await at(page, "#/Messages?live=1");
  await page.getByRole("heading", { name: "Messages" }).click();
  await api.publish("orders", "three");
  await listed(page, ["three", "two", "one"]);
}));

test("a code opens its message, an unknown one says what it tells", scene(async (made) => {
  const { waiting } = await some(made);
  const page = await made.open("#/Messages");
  await page.getByRole("searchbox").fill(`  ${waiting.toUpperCase()} `);
  await at(page, `#/Messages/${waiting}`);
  await shows(detail(page), waiting);
  made.tolerate(/status of 404/);
  await page.getByRole("searchbox").fill(`${"0".repeat(32)}${waiting.slice(32)}`);
  await shows(detail(page), "This server has no message with this code");
  await shows(detail(page), "According to its code it was created at");
}));

test("data is shown as text, JSON and hex", scene(async ({ api, open }) => {
  const json = await api.publish("orders", '{"name":"Zoë","n":12345678901234567890,"deep":{"list":[1,2]}}');
  const text = await api.publish("orders", "plain\nlines\té");
  const page = await open(`#/Messages/${json}`);
  const panel = detail(page).getByRole("tabpanel");
  await shows(panel, /name.*Zoë.*12345678901234567890/);
  await detail(page).getByRole("tab", { name: "Text" }).click();
  await at(page, `#/Messages/${json}?as=text`);
  await shows(panel, '{"name":"Zoë","n":12345678901234567890,"deep":{"list":[1,2]}}');
  await detail(page).getByRole("tab", { name: "Hex" }).click();
  await shows(panel, "000000 7b 22 6e 61 6d 65 22 3a 22 5a 6f c3 ab");
  await page.reload();
  await shows(panel, "000000 7b 22");

  await page.goto(`${new URL(page.url()).origin}/#/Messages/${text}`);
  await shows(panel, /plain lines é/);
  await counted(detail(page).getByRole("tab", { name: "JSON" }), 0);
  const [download] = await Promise.all([page.waitForEvent("download"), detail(page).getByRole("button", { name: "Download" }).click()]);
  assert.equal(download.suggestedFilename(), `message-${text}.txt`);
  assert.equal(await readFile(await download.path(), "utf8"), "plain\nlines\té");
}));

test("the life of a consumed message names who got it, that of a waiting one says why it waits", scene(async (made) => {
  const { consumed, waiting } = await some(made);
  const page = await made.open(`#/Messages/${consumed}`);
  await shows(detail(page).locator(".timeline"), /Accepted .* Delivery to 1 consumer .* Written to 1 of 1 till 127\.0\.0\.1.* Consumed .* Expires/);
  await made.open(`#/Messages/${waiting}`).then(async (other) => {
    await shows(detail(other).locator(".timeline"), /Accepted .* Waiting .orders. has no consumer.* Expires/);
    const consumer = await made.use(Consumer.connect(made.server, "orders", "late"));
    await consumer.until(1);
    await shows(detail(other).locator(".timeline"), /Delivery to 1 consumer .* late .* Consumed/);
  });
}));

test("a message is published again, as it was or edited", scene(async (made) => {
  const { bill } = await some(made);
  const page = await made.open(`#/Messages/${bill}`);
  await detail(page).getByRole("button", { name: "Duplicate as new message" }).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByLabel("Topic").fill("orders");
  await dialog.getByLabel("Data").fill("third, edited");
  await dialog.getByRole("button", { name: "Publish" }).click();
  await shows(dialog, "Published as a new message");
  await dialog.getByRole("link", { name: "Open it" }).click();
  await shows(detail(page), "third, edited");
  const [newest] = await made.api.messages();
  assert.deepEqual([newest.topic, newest.preview], ["orders", "third, edited"]);
  assert.equal((await made.api.message(bill)).data, "third");
}));

test("a message is pushed again", scene({ mq: { isRePush: 0 } }, async ({ server, api, open, use }) => {
  const code = await api.publish("orders", "again");
  await api.until(code, "not_consumed");
  const consumer = await use(Consumer.connect(server, "orders", "till"));
  const page = await open(`#/Messages/${code}`);
  await shows(detail(page).locator(".timeline"), "mq.isRePush is 0");
  await detail(page).getByRole("button", { name: "Redeliver" }).click();
  await shows(page.locator(".toasts"), "The message is back in the queue");
  await consumer.until(1);
  assert.equal(consumer.received[0].MessageCode, code);
  await shows(detail(page), "Consumed");
  await counted(detail(page).getByRole("button", { name: "Redeliver" }), 0);
}));

test("a message is deleted after its topic was typed", scene(async (made) => {
  const { waiting } = await some(made);
  const page = await made.open("#/Messages");
  await rows(page).nth(1).click();
  await at(page, `#/Messages/${waiting}`);
  await detail(page).getByRole("button", { name: "Delete" }).click();
  const dialog = page.locator("dialog[open]");
  await shows(dialog, "1 message (Not consumed, 26 B)");
  const action = dialog.getByRole("button", { name: "Delete the message" });
  await dialog.getByRole("textbox").fill("bills");
  assert.ok(await action.isDisabled());
  await dialog.getByRole("textbox").fill("orders");
  await action.click();
  await shows(page.locator(".toasts"), "The message is deleted");
  await listed(page, ["third", "first"]);
  await at(page, "#/Messages");
  await assert.rejects(made.api.message(waiting), { status: 404 });
}));

test("exports have what matches, as CSV and as NDJSON", scene(async ({ api, open }) => {
  await api.publish("bills", "not this one");
  const data = ["one", 'two, "quoted"\r\nline', "=3+4"];
  const codes = await api.publishAll("orders", data);
  const page = await open("#/Messages?topic=orders");
  const dialog = page.locator("dialog[open]");
  const exported = async (format) => {
    await page.getByRole("button", { name: "Export" }).click();
    await shows(dialog, "About 3 messages.");
    await dialog.getByRole("button", { name: format, exact: true }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: "Export" }).click()]);
    assert.match(download.suggestedFilename(), new RegExp(`\\.${format.toLowerCase()}$`));
    return readFile(await download.path(), "utf8");
  };

  const ndjson = (await exported("NDJSON")).trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(ndjson.map((one) => one.data), data.slice().reverse());
  assert.deepEqual(ndjson.map((one) => one.code), codes.slice().reverse());
  const csv = await exported("CSV");
  const [head] = csv.replace(/^\ufeff/, "").split(/\r?\n/);
  assert.match(head, /code/);
  assert.ok(csv.includes('"two, ""quoted""\r\nline"'), csv);
  assert.ok(!csv.includes("not this one"));
  for (const code of codes) assert.ok(csv.includes(code));
}));

test("an address leads to its message after the login", scene(async (made) => {
  const { bill } = await some(made);
  const page = await (await made.visitor()).newPage();
  await page.goto(`${made.server.url}/#/Messages/${bill}?topic=bills`);
  await login(page, made.server.key);
  await shows(detail(page), "third");
  await counted(rows(page), 1);
}));
