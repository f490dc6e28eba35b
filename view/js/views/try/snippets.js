import { at } from "../../address.js";

/** Stands for the key: the real one is never shown. */
const KEY = "YOUR_KEY";

/**
 * The address of a WebSocket of this server, as the page itself reaches it.
 * @param {"consumer" | "producer"} role @param {string} topic @param {Record<string, string>} [options]
 */
export function socketUrl(role, topic, options = {}) {
  const base = at(`/${role === "consumer" ? "Consumers" : "Producers"}/Conn`).replace(/^http/, "ws"), id = `my-${role}`;
  // Browsers take these out of every path.
  const inQuery = topic === "." || topic === "..";
  const query = new URLSearchParams(inQuery ? { topic, id, ...options } : options).toString();
  return `${base}${inQuery ? "" : `/${encodeURIComponent(topic)}/${id}`}${query && `?${query}`}`;
}

/** A text as one word of a shell. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {string} topic */
export const curl = (topic) => `curl ${at("/Producer/Send")} \\
  --header 'secretKey: ${KEY}' \\
  --data-urlencode ${quoted(`topic=${topic}`)} \\
  --data-urlencode 'messageData=hello'`;

/** @param {string} url @param {string} onReady @param {string} onFrame */
const script = (url, onReady, onFrame) => `const url = "${url}";
const socket = new WebSocket(url);
socket.onmessage = ({ data }) => {
  if (data === "Please enter the secret key") socket.send("${KEY}");
  else if (data === "Secret key matching succeeded") ${onReady};
  else if (data === "Secret key matching error") socket.close();
  else {
${onFrame}
  }
};
socket.onclose = ({ code, reason }) => console.log("closed", code, reason);`;

/** @param {string} topic */
export const javascript = (topic) => ({
  consumer: script(socketUrl("consumer", topic), 'console.log("listening")', `    const message = JSON.parse(data);
    console.log(message.MessageCode, message.MessageData);`),
  producer: script(socketUrl("producer", topic, { ack: "1" }), 'socket.send("hello")', `    // One reply for each message, in the order sent.
    const { code, msg } = JSON.parse(data);
    console.log(code === 0 ? "on disk:" : "not stored:", msg);`),
});

/** @param {string} url @param {string} then */
const python = (url, then) => `# pip install websockets
import json
from websockets.sync.client import connect

url = "${url}"
with connect(url, max_size=None) as socket:
    socket.recv()  # Please enter the secret key
    socket.send("${KEY}")
    if socket.recv() != "Secret key matching succeeded":
        raise SystemExit("wrong key")
${then}`;

/** @param {string} topic */
export const pythons = (topic) => ({
  consumer: python(socketUrl("consumer", topic), `    for frame in socket:
        message = json.loads(frame)
        print(message["MessageCode"], message["MessageData"])`),
  producer: python(socketUrl("producer", topic, { ack: "1" }), `    socket.send("hello")
    # One reply for each message, in the order sent.
    reply = json.loads(socket.recv())
    print("on disk:" if reply["code"] == 0 else "not stored:", reply["msg"])`),
});
