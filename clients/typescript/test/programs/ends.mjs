// A program that records a run of four events, and ends in the way that its argument says.

import cluster from "node:cluster";
import { isMainThread, Worker } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";

import * as rt from "../../dist/esm/node.js";

const [how, flushed] = process.argv.slice(2);

function record(name) {
  rt.run(name, { input: "hi" }, () => rt.step("s", () => undefined));
}

async function flush() {
  if (flushed === "flushed") console.log(`left ${await rt.flush(5000)}`);
}

const endings = {
  async returns() { record("a"); },
  async exits() { record("a"); await flush(); process.exit(3); },
  async throws() { record("a"); await flush(); throw new Error("uncaught"); },
  async kills() { record("a"); await flush(); process.kill(process.pid, "SIGKILL"); await sleep(60_000); },
  async terminates() { record("a"); setTimeout(() => process.kill(process.pid, "SIGTERM"), 5); await sleep(60_000); },
  async handles() {
    process.on("SIGTERM", () => process.exit(7));
    record("a");
    await flush();
    setTimeout(() => process.kill(process.pid, "SIGTERM"), 5);
    await sleep(60_000);
  },
  async threads() {
    if (!isMainThread) return record("thread");
    record("main");
    for (let at = 0; at < 2; at += 1) {
      await new Promise((done) => new Worker(new URL(import.meta.url), { argv: ["threads"] }).on("exit", done));
    }
  },
  async cluster() {
    if (cluster.isPrimary) {
      cluster.fork();
      cluster.fork();
      await new Promise((done) => { let gone = 0; cluster.on("exit", () => (gone += 1) === 2 && done()); });
    }
    record(cluster.isPrimary ? "primary" : "worker");
    if (cluster.isWorker) cluster.worker.disconnect();
  },
  async open() { rt.startRun("never ends"); },
};

await endings[how]();
