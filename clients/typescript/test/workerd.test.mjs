// The build for the edge in Cloudflare's own runtime, with and without Node's modules.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { Sink } from "./support/sink.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const workerd = path.join(root, "node_modules/.bin/workerd");

const runs = spawnSync(workerd, ["--version"]).status === 0;
if (!runs && process.env.CI === "true") throw new Error("workerd does not run here, and is needed where CI=true");
const skip = runs ? false : "workerd does not run here";

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** A folder with the worker, the build and a configuration. */
function deployed(port, flags) {
  const folder = mkdtempSync(path.join(tmpdir(), "runtraced-"));
  cpSync(path.join(root, "dist/esm"), folder, { recursive: true });
  cpSync(path.join(root, "test/programs/worker_on_the_edge.mjs"), path.join(folder, "worker.mjs"));
  // The files of the Node build name modules of Node.
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".js") && !/^(node|disk_spool)\.js$/.test(name));
  const modules = ["worker.mjs", ...names].map((name) => `(name = "${name}", esModule = embed "${name}")`).join(", ");
  writeFileSync(path.join(folder, "worker.capnp"), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["public", "private", "local"]))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
const worker :Workerd.Worker = (modules = [${modules}], compatibilityDate = "2025-09-01", compatibilityFlags = [${flags}]);
`);
  return folder;
}

async function answerOf(url) {
  for (let at = 0; ; at += 1) {
    try {
      return await (await fetch(url)).json();
    } catch (error) {
      if (at === 200) throw error;
      await sleep(50);
    }
  }
}

for (const [name, flags, hasContext] of [["without Node's modules", "", false], ["with nodejs_compat", '"nodejs_compat"', true]]) {
  test(`Cloudflare's runtime ${name}`, { skip }, async () => {
    const sink = await Sink.start();
    const port = await freePort();
    const folder = deployed(port, flags);
    const server = spawn(workerd, ["serve", path.join(folder, "worker.capnp")], { stdio: "inherit" });
    try {
      const url = `http://127.0.0.1:${port}/?endpoint=${encodeURIComponent(sink.url)}`;
      assert.deepEqual(await answerOf(url), { hasContext, left: 0 });
      const steps = sink.of("step_started").map(({ details }) => details.name);
      assert.deepEqual(steps, hasContext ? ["from the context", "passed on", "below"] : ["passed on", "below"]);
      assert.deepEqual(await answerOf(`${url}&later=yes`), { hasContext });
      for (let at = 0; at < 200 && sink.of("run_ended").length < 2; at += 1) await sleep(25);
      assert.equal(sink.of("run_ended").length, 2);
      assert.equal(sink.repeated, 0);
    } finally {
      server.kill();
      await once(server, "exit");
      rmSync(folder, { recursive: true, force: true });
      await sink.close();
    }
  });
}
