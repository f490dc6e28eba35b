import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer, eventually, Producer } from "./support/client.mjs";
import { at, counted, scene, shows } from "./support/scene.mjs";

const row = (page, id) => page.locator("tbody tr").filter({ hasText: id });

test("consumers and producers are listed, filtered and searched", scene(async ({ server, open, use }) => {
  const consumer = await use(Consumer.connect(server, "orders", "till 1"));
  const producer = await use(Producer.connect(server, "orders", "desk"));
  await use(Consumer.connect(server, "bills", "office"));
  await producer.send(["1", "2"]);
  await consumer.until(2);

  const page = await open("#/Clients");
  await counted(page.locator("tbody tr"), 3);
  await shows(row(page, "till 1"), /consumer orders 127\.0\.0\.1.* 2 /);
  await shows(row(page, "till 1"), "0 / 65,536");
  await shows(row(page, "desk"), /producer orders 127\.0\.0\.1.* 2 –/);

  await page.getByRole("button", { name: "Producers" }).click();
  await counted(page.locator("tbody tr"), 1);
  await at(page, "#/Clients?role=producer");
  await page.getByRole("button", { name: "All" }).click();
  await page.getByRole("searchbox").fill("OFF");
  await counted(page.locator("tbody tr"), 1);
  await shows(page.locator("tbody"), "office");
}));

test("an outbox that fills is seen", scene(async ({ server, api, open, use }) => {
  const consumer = await use(Consumer.connect(server, "orders", "slow"));
  const producer = await use(Producer.connect(server, "orders", "desk"));
  consumer.pause();
  // Until what the systems between take is full too.
  await eventually(async () => {
    const [before] = (await api.topic("orders")).clients.filter(({ role }) => role === "consumer");
    await producer.send(Array(8).fill("x".repeat(256 * 1024)));
    const [now] = (await api.topic("orders")).clients.filter(({ role }) => role === "consumer");
    return now.messages === before.messages && now.outbox.bytes > 2 * 1024 * 1024;
  });
  const page = await open("#/Clients?role=consumer");
  await shows(row(page, "slow"), /MiB \/ 16 MiB/);
  consumer.resume();
  await shows(row(page, "slow"), "0 / 65,536");
}));

test("disconnecting wants the topic's name, and closes the socket with a reason", scene(async ({ server, api, open, use }) => {
  const consumer = await use(Consumer.connect(server, "orders", "till"));
  const other = await use(Consumer.connect(server, "orders", "other"));
  const page = await open("#/Clients");
  await row(page, "till").getByRole("button", { name: /Disconnect/ }).click();
  const dialog = page.locator("dialog[open]");
  await shows(dialog, /consumer .till. \(127\.0\.0\.1/);
  const action = dialog.getByRole("button", { name: "Disconnect" });
  await dialog.getByRole("textbox").fill("bills");
  assert.ok(await action.isDisabled());
  await dialog.getByRole("textbox").fill("orders");
  await action.click();
  assert.deepEqual(await consumer.closed, { code: 1008, reason: "disconnected by the operator" });
  await shows(page.locator(".toasts"), /till.* was disconnected/);
  await counted(page.locator("tbody tr"), 1);
  assert.equal(other.ws.readyState, other.ws.OPEN);
  assert.equal((await api.overview()).clients.consumers, 1);
}));

test("without clients the page says how to connect", scene(async ({ server, open }) => {
  const page = await open("#/Clients");
  await shows(page.locator(".empty"), `ws://${server.address}/Consumers/Conn/my_topic/my-consumer`);
}));

test("clients come and go without a reload", scene(async ({ server, open }) => {
  const page = await open("#/Clients");
  const consumer = await Consumer.connect(server, "orders", "till");
  await counted(row(page, "till"), 1);
  consumer.close();
  await counted(row(page, "till"), 0);
}));
