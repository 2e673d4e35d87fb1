// A program that records a run of four events, and ends in the way that its argument says.

import { fork } from "node:child_process";
import { createRequire } from "node:module";
import cluster from "node:cluster";
import { fileURLToPath } from "node:url";
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

const required = createRequire(import.meta.url)("../../dist/cjs/node.js");

/** A handler as that of the package `signal-exit`: it ends the process if all handlers are of its kind. */
function endsIfAlone(emitter) {
  const handle = () => {
    if (process.listenerCount("SIGTERM") > emitter.count) return;
    process.removeListener("SIGTERM", handle);
    process.kill(process.pid, "SIGTERM");
  };
  process.on("SIGTERM", handle);
}

async function terminated() {
  setTimeout(() => process.kill(process.pid, "SIGTERM"), 5);
  await sleep(20_000);
  process.exit(9);
}

const endings = {
  async returns() { record("a"); },
  async returnsLate() { record("a"); await sleep(300); },
  async exits() { record("a"); await flush(); process.exit(3); },
  async throws() { record("a"); await flush(); throw new Error("uncaught"); },
  async rejects() { record("a"); await flush(); Promise.reject(new Error("unhandled")); await sleep(60_000); },
  async aborts() { record("a"); await flush(); process.abort(); },
  async rejectsARun() { rt.run("a", async () => { throw new Error("nobody handles it"); }); await flush(); await sleep(20_000); },
  async rejectsACall() { rt.run("a", () => { rt.traced(async () => { throw new Error("nobody handles it"); })(); }); await sleep(20_000); },
  async late() { record("a"); process.once("beforeExit", () => record("late")); },
  async tooLate() { record("a"); await flush(); process.on("exit", () => record("too late")); },
  async firstAtTheEnd() { process.on("exit", () => record("too late")); },
  async kills() { record("a"); await flush(); process.kill(process.pid, "SIGKILL"); await sleep(60_000); },
  async terminates() { record("a"); setTimeout(() => process.kill(process.pid, "SIGTERM"), 5); await sleep(60_000); },
  async terminatesTwoCopies() {
    for (const copy of [rt, required]) {
      copy.configure({});
      copy.run("a", () => undefined);
    }
    await terminated();
  },
  async terminatesBeside() {
    endsIfAlone(globalThis[Symbol.for("signal-exit emitter")] = { count: 1 });
    record("a");
    await terminated();
  },
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
  async terminated() {
    if (!isMainThread) {
      record("thread");
      console.log(`left ${await rt.flush(5000)}`);
      return record("lost");
    }
    const thread = new Worker(new URL(import.meta.url), { argv: ["terminated"], stdout: true });
    await new Promise((done) => thread.stdout.on("data", done));
    await thread.terminate();
    record("main");
  },
  async forks() {
    const child = () => new Promise((done) => fork(fileURLToPath(import.meta.url), ["forked"], { execArgv: [] }).on("exit", done));
    // The parent has events that wait, and a run that is open.
    await rt.run("parent", async () => {
      record("below");
      process.exitCode = (await Promise.all([child(), child()])).some((code) => code !== 0) ? 1 : 0;
    });
  },
  async forked() {
    record("child");
    process.disconnect();
  },
  async freezes() {
    record("a");
    console.log("queued");
    await sleep(500);
    console.log(`left ${await rt.flush(20_000)}`);
  },
  async open() { rt.startRun("never ends"); },
};

await endings[how]();
