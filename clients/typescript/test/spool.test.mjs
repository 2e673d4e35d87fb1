// The spool on the disk: what the daemon could not take, and who sends it later.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import * as rt from "../dist/esm/node.js";
import { program } from "./support/programs.mjs";
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
  // What is left would count in the next test.
  await rt.flush(5000);
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

for (const [ending, was] of [[".sending", "sending"], [".writing", "writing"]]) {
  test(`a file that a dead process was ${was} is taken over`, async () => {
    await sink.close();
    configure();
    rt.run("a", () => undefined);
    await spooled(2);
    const [name] = readdirSync(folder);
    const sending = path.join(folder, name.replace(".jsonl", ending));
    renameSync(path.join(folder, name), sending);
    await sink.reopen();
    configure();
    await sleep(300);
    assert.equal(sink.events.length, 0, "its process may still be alive");
    const longAgo = Date.now() / 1000 - 3600;
    utimesSync(sending, longAgo, longAgo);
    configure();
    for (let at = 0; at < 100 && readdirSync(folder).length > 0; at += 1) await sleep(50);
    assert.equal(sink.events.length, 2);
    assert.deepEqual(readdirSync(folder), []);
  });
}

test("what is on its way to the disk when the process exits is kept", async () => {
  await sink.close();
  const { stderr } = await program("spools.mjs", [], { RUNTRACED_ENDPOINT: sink.url, RUNTRACED_SPOOL: folder });
  const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const lines = files.flatMap((name) => readFileSync(path.join(folder, name), "utf8").trim().split("\n"));
  assert.equal(new Set(lines).size, 3000, stderr);
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

test("a file of another process that cannot be sent does not keep new events from the disk", async () => {
  await sink.close();
  configure();
  rt.run("a", () => undefined);
  await spooled(2);
  problems = [];
  configure();
  // Now the file is on its way.
  for (let at = 0; at < 200 && problems.length === 0; at += 1) await sleep(25);
  rt.run("b", () => undefined);
  await spooled(2);
  assert.equal(rt.stats().waiting, 0);
  await sink.reopen();
  configure();
  for (let at = 0; at < 200 && readdirSync(folder).length > 0; at += 1) await sleep(50);
  assert.deepEqual(sink.of("run_started").map(({ agent_id }) => agent_id).sort(), ["a", "b"]);
});

test("what another process sent from the spool is not left", async () => {
  await sink.close();
  configure();
  rt.run("a", () => undefined);
  await spooled(2);
  for (const name of readdirSync(folder)) rmSync(path.join(folder, name));
  assert.equal(rt.stats().spooled, 0);
  assert.equal(await rt.flush(100), 0);
  await sink.reopen();
});
