/** nginx before a server, with a configuration as somebody writes it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./client.mjs";

const running = new Set();
process.on("exit", () => { for (const child of running) child.kill("SIGKILL"); });

async function freePort() {
  const socket = createServer().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise((done) => socket.close(done));
  return port;
}

export class Nginx {
  #dir;
  #child;

  /** @param {import("./server.mjs").Server} server @param {string} locations what is in its `server`; SERVER is the address of ours */
  static async start(server, locations) {
    const nginx = new Nginx();
    const dir = nginx.#dir = await mkdtemp(join(tmpdir(), "dpmq-nginx-"));
    nginx.address = `127.0.0.1:${await freePort()}`;
    const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${dir}/${name};`).join(" ");
    await writeFile(join(dir, "nginx.conf"), `daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr warn;
events { worker_connections 256; }
http { access_log off; ${places}
server { listen ${nginx.address}; ${locations.replaceAll("SERVER", server.address)} } }
${process.getuid() === 0 ? "user root;" : ""}\n`);
    nginx.#child = spawn("nginx", ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr"], { stdio: "ignore" });
    running.add(nginx.#child);
    await eventually(() => fetch(nginx.url).then(() => true, () => false), { what: "nginx listens" });
    return nginx;
  }

  get url() { return `http://${this.address}`; }

  async close() {
    this.#child.kill("SIGTERM");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    running.delete(this.#child);
    await rm(this.#dir, { recursive: true, force: true });
  }
}
