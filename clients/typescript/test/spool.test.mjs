// The spool on the disk: what the daemon could not take, and who sends it later.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, renameSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import * as rt from "../dist/esm/node.js";
import { Sink } from "./support/sink.mjs";

let sink;
let folder;
let problems;

beforeEach(async () => {
  sink = await Sink.start();
  folder = mkdtempSync(path.join(tmpdir(), "runtraced-"));
  problems = [];
});

afterEach(async () => {
  if (sink.server.listening) await sink.close();
  rmSync(folder, { recursive: true, force: true });
});

function configure(options = {}) {
  rt.configure();
  rt.configure({ endpoint: sink.url, spool: folder, onProblem: (problem) => problems.push(problem), ...options });
}

async function spooled(events) {
  for (let at = 0; at < 100 && rt.stats().spooled < events; at += 1) await sleep(50);
  assert.equal(rt.stats().spooled, events);
}

test("events move to the disk while the daemon is away, and are sent when it is back", async () => {
  await sink.close();
  configure();
  rt.run("a", { input: "x".repeat(1000) }, () => undefined);
  await spooled(2);
  assert.equal(rt.stats().waiting, 0);
  assert.equal(await rt.flush(100), 2, "what is on the disk is not settled");
  await sink.reopen();
  rt.run("b", () => undefined);
  for (let at = 0; at < 200 && rt.stats().spooled > 0; at += 1) await sleep(50);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 4);
  assert.equal(sink.repeated, 0);
  assert.deepEqual(readdirSync(folder), []);
});

test("a file that a dead process was sending is taken over", async () => {
  await sink.close();
  configure();
  rt.run("a", () => undefined);
  await spooled(2);
  const [name] = readdirSync(folder);
  const sending = path.join(folder, name.replace(".jsonl", ".sending"));
  renameSync(path.join(folder, name), sending);
  await sink.reopen();
  configure();
  await sleep(300);
  assert.equal(sink.events.length, 0, "its process may still be alive");
  const longAgo = Date.now() / 1000 - 3600;
  utimesSync(sending, longAgo, longAgo);
  configure();
  for (let at = 0; at < 100 && sink.events.length < 2; at += 1) await sleep(50);
  assert.equal(sink.events.length, 2);
  assert.deepEqual(readdirSync(folder), []);
});

test("a full spool leaves events in memory, and says so", async () => {
  await sink.close();
  configure({ maxSpoolBytes: 10 });
  rt.run("a", () => undefined);
  for (let at = 0; at < 100 && !problems.some((problem) => problem.includes("cannot be written")); at += 1) await sleep(50);
  assert.match(problems.join("\n"), /the spool cannot be written: .*holds 10 bytes/);
  assert.equal(rt.stats().waiting, 2);
  await sink.reopen();
  assert.equal(await rt.flush(10_000), 0);
  assert.equal(sink.events.length, 2);
});
