/** Those who use the server beside the page: its API, producers and consumers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import WebSocket from "ws";

const PATIENCE_MS = 30_000;

/**
 * Waits until `look` neither throws nor answers false, and gives what it answers.
 * @template T @param {() => T | Promise<T>} look @param {{ within?: number, what?: string }} [options]
 */
export async function eventually(look, { within = PATIENCE_MS, what = String(look) } = {}) {
  const end = Date.now() + within;
  for (;;) {
    let failure;
    try {
      const seen = await look();
      if (seen !== false) return seen;
    } catch (error) {
      failure = error;
    }
    if (Date.now() > end) throw failure ?? new Error(`not within ${within} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

/** The console's API with the server's key. */
export class Api {
  #server;

  constructor(server) { this.#server = server; }

  async request(method, path, body) {
    const response = await fetch(this.#server.url + path, {
      method, headers: { secretKey: this.#server.key, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw Object.assign(new Error(`${method} ${path}: ${response.status} ${text}`), { status: response.status });
    return text ? JSON.parse(text) : undefined;
  }

  get(path) { return this.request("GET", path); }

  overview() { return this.get("/api/overview"); }

  topic(topic) { return this.get(`/api/topics/${encodeURIComponent(topic)}`); }

  message(code) { return this.get(`/api/messages/${code}`); }

  /** The newest messages, newest first. */
  async messages(query = "") { return (await this.get(`/api/messages${query}`)).messages; }

  /** @returns {Promise<string>} the code */
  async publish(topic, data) { return (await this.request("POST", "/api/messages", { topic, data })).code; }

  /** One after the other, so that their order is known. @returns {Promise<string[]>} the codes */
  async publishAll(topic, all) {
    const codes = [];
    for (const data of all) codes.push(await this.publish(topic, data));
    return codes;
  }

  /** Until the message is in that status. */
  async until(code, status) {
    return eventually(async () => {
      const message = await this.message(code);
      assert.equal(message.status, status);
      return message;
    });
  }
}

/** A WebSocket that has logged in: what it received since, and how it ended. */
class Socket {
  received = [];

  static async open(server, path) {
    const socket = new this();
    const ws = socket.ws = new WebSocket(`ws://${server.address}${path}`, { perMessageDeflate: false });
    socket.closed = new Promise((done) => ws.once("close", (code, reason) => done({ code, reason: String(reason) })));
    ws.on("error", () => {});
    await new Promise((done, fail) => {
      socket.closed.then(({ code, reason }) => fail(new Error(`closed at the login: ${code} ${reason}`)));
      ws.on("message", function login(frame) {
        if (String(frame) === "Please enter the secret key") ws.send(server.key);
        else { ws.off("message", login); done(); }
      });
    });
    ws.on("message", (frame) => socket.received.push(JSON.parse(String(frame))));
    return socket;
  }

  /** At least so many frames came. */
  async until(count) { await eventually(() => this.received.length >= count, { what: `${count} frames` }); }

  close() { this.ws.terminate(); }
}

export class Consumer extends Socket {
  static async connect(server, topic, id) {
    return Consumer.open(server, `/Consumers/Conn/${encodeURIComponent(topic)}/${encodeURIComponent(id)}`);
  }

  /** Reads nothing more: its outbox fills up. */
  pause() { this.ws.pause(); }

  resume() { this.ws.resume(); }
}

export class Producer extends Socket {
  static async connect(server, topic, id) {
    return Producer.open(server, `/Producers/Conn/${encodeURIComponent(topic)}/${encodeURIComponent(id)}?ack=1`);
  }

  /** All of them, on disk when it returns. */
  async send(all) {
    const before = this.received.length;
    for (const data of all) this.ws.send(data);
    await this.until(before + all.length);
    const refused = this.received.slice(before).find((ack) => ack.code !== 0);
    assert.equal(refused, undefined, `refused: ${refused?.msg}`);
  }
}

/**
 * The frames by hand, without a mask: a general client takes longer for ten million of them than the server does.
 */
class Pipe {
  static async open(server, path) {
    const socket = connect({ host: "127.0.0.1", port: server.port, noDelay: true });
    await once(socket, "connect");
    const until = async (text) => {
      let seen = "";
      while (!seen.includes(text)) seen += (await once(socket, "data"))[0].toString("latin1");
    };
    socket.write([`GET ${path} HTTP/1.1`, `Host: ${server.address}`, "Connection: Upgrade", "Upgrade: websocket",
      "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""].join("\r\n"));
    await until("Please enter the secret key");
    socket.write(Pipe.frame(server.key));
    await until("Secret key matching succeeded");
    return socket;
  }

  static frame(text) {
    const length = Buffer.byteLength(text);
    const head = length < 126 ? [0x81, 0x80 | length] : [0x81, 0xfe, length >> 8, length & 255];
    return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), Buffer.from(text)]);
  }
}

const BATCH = 2000;
const IN_FLIGHT_MAX = 20_000;
/** `{"code":0,"msg":"<40 digits>"}` in a frame. */
const ACK_BYTES = 2 + 59;

/** The data of the message with this number: 128 bytes. */
export const numbered = (topic, number) => `${`{"id":${String(number).padStart(9, "0")},"topic":"${topic}","note":"${"a row of a large table ".repeat(8)}`.slice(0, 126)}"}`;

/** Publishes so many numbered messages; all of them are acknowledged, which is seen by the length of what comes back. */
export async function pour(server, topic, id, count) {
  const socket = await Pipe.open(server, `/Producers/Conn/${encodeURIComponent(topic)}/${encodeURIComponent(id)}?ack=1`);
  const one = Pipe.frame(numbered(topic, 0));
  assert.equal(one.length, 128 + 8);
  const at = one.indexOf("000000000");
  let acked = 0, wake = () => {};
  socket.on("data", (bytes) => { acked += bytes.length; wake(); });
  socket.on("close", () => { acked = NaN; wake(); });
  for (let sent = 0; sent < count; ) {
    const n = Math.min(BATCH, count - sent);
    const batch = Buffer.alloc(one.length * n);
    for (let i = 0; i < n; i++) {
      one.copy(batch, i * one.length);
      batch.write(String(sent + i).padStart(9, "0"), i * one.length + at, "latin1");
    }
    socket.write(batch);
    sent += n;
    while (sent - acked / ACK_BYTES > IN_FLIGHT_MAX || (sent === count && acked < count * ACK_BYTES)) await new Promise((done) => { wake = done; });
    assert.ok(!Number.isNaN(acked), "the server closed the connection");
  }
  assert.equal(acked, count * ACK_BYTES, "every message is acknowledged");
  socket.destroy();
}

/** A consumer that throws away whatever comes. */
export async function drain(server, topic, id) {
  const socket = await Pipe.open(server, `/Consumers/Conn/${encodeURIComponent(topic)}/${encodeURIComponent(id)}`);
  socket.resume();
  return { close: () => socket.destroy() };
}
