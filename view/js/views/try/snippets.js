/** Stands for the key: the real one is never shown. */
const KEY = "YOUR_KEY";

/**
 * The address of a WebSocket of this server, as the page itself reaches it.
 * @param {"consumer" | "producer"} role @param {string} topic @param {string} [id]
 */
export const socketUrl = (role, topic, id = `my-${role}`) =>
  `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/${role === "consumer" ? "Consumers" : "Producers"}/Conn/${encodeURIComponent(topic)}/${encodeURIComponent(id)}`;

/** A text as one word of a shell. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {string} topic */
export const curl = (topic) => `curl ${location.origin}/Producer/Send \\
  --header 'secretKey: ${KEY}' \\
  --data-urlencode ${quoted(`topic=${topic}`)} \\
  --data-urlencode 'messageData=hello'`;

/** @param {string} topic */
export const javascript = (topic) => ({
  consumer: `const socket = new WebSocket("${socketUrl("consumer", topic)}");
socket.onmessage = ({ data }) => {
  if (data === "Please enter the secret key") return socket.send("${KEY}");
  if (data === "Secret key matching succeeded") return console.log("listening");
  if (data === "Secret key matching error") return socket.close();
  const message = JSON.parse(data);
  console.log(message.MessageCode, message.MessageData);
};
socket.onclose = ({ code, reason }) => console.log("closed", code, reason);`,
  producer: `const socket = new WebSocket("${socketUrl("producer", topic)}?ack=1");
socket.onmessage = ({ data }) => {
  if (data === "Please enter the secret key") return socket.send("${KEY}");
  if (data === "Secret key matching succeeded") return socket.send("hello");
  if (data === "Secret key matching error") return socket.close();
  const { code, msg } = JSON.parse(data); // one for each message, in the order sent
  console.log(code === 0 ? \`on disk: \${msg}\` : \`not stored: \${msg}\`);
};
socket.onclose = ({ code, reason }) => console.log("closed", code, reason);`,
});

/** @param {string} url @param {string} then */
const python = (url, then) => `import json
from websockets.sync.client import connect  # pip install websockets

with connect("${url}", max_size=None) as socket:
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
  producer: python(`${socketUrl("producer", topic)}?ack=1`, `    socket.send("hello")
    reply = json.loads(socket.recv())  # one for each message, in the order sent
    print("on disk:" if reply["code"] == 0 else "not stored:", reply["msg"])`),
});
