// The end of a process: what was flushed is there, what was not is told or kept.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { program, start } from "./support/programs.mjs";
import { Sink } from "./support/sink.mjs";

let sink;
let folder;

beforeEach(async () => {
  sink = await Sink.start();
  folder = mkdtempSync(path.join(tmpdir(), "runtraced-"));
});

afterEach(async () => {
  rmSync(folder, { recursive: true, force: true });
  if (sink.server.listening) await sink.close();
});

function ends(...args) {
  return program("ends.mjs", args, { RUNTRACED_ENDPOINT: sink.url });
}

function endsWithSpool(...args) {
  return program("ends.mjs", args, { RUNTRACED_ENDPOINT: sink.url, RUNTRACED_SPOOL: folder });
}

test("a program that returns sends everything, without a flush", async () => {
  const { code, stderr } = await ends("returns");
  assert.deepEqual([code, stderr, sink.events.length], [0, "", 4]);
});

test("a run that is open keeps no process alive", async () => {
  const { code, ms } = await ends("open");
  assert.equal(code, 0);
  assert.ok(ms < 15_000, `${ms} ms`);
  assert.equal(sink.of("run_started").length, 1);
});

test("process.exit keeps what was flushed, and tells what was not", async () => {
  const flushed = await ends("exits", "flushed");
  assert.deepEqual([flushed.code, flushed.stdout, flushed.stderr, sink.events.length], [3, "left 0\n", "", 4]);
  const not = await ends("exits");
  assert.equal(not.code, 3);
  assert.match(not.stderr, /runtraced: 4 events are lost/);
  assert.equal(sink.events.length, 4);
});

test("an uncaught error is the same", async () => {
  const { code, stderr } = await ends("throws");
  assert.equal(code, 1);
  assert.match(stderr, /Error: uncaught/);
  assert.match(stderr, /runtraced: 4 events are lost/);
});

test("so is a promise that nobody handles", async () => {
  const flushed = await ends("rejects", "flushed");
  assert.deepEqual([flushed.code, sink.events.length], [1, 4]);
  const not = await ends("rejects");
  assert.match(not.stderr, /runtraced: 4 events are lost/);
  assert.equal(sink.events.length, 4);
});

test("what a program records when it is over is sent, too", async () => {
  const { code, stderr } = await ends("late");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(sink.of("run_started").map(({ agent_id }) => agent_id), ["a", "late"]);
  assert.deepEqual([sink.events.length, sink.repeated], [8, 0]);
});

for (const [how, before] of [["tooLate", 4], ["firstAtTheEnd", 0]]) {
  test(`what it records when nothing can wait any more is told, or kept in a spool: ${how}`, async () => {
    const { stderr } = await ends(how, "flushed");
    assert.match(stderr, /runtraced: events are lost: the process was ending when they were recorded/);
    assert.equal(sink.events.length, before);
    const kept = await endsWithSpool(how, "flushed");
    assert.equal(kept.stderr, "");
    assert.equal(sink.events.length, 2 * before);
    const lines = readdirSync(folder).flatMap((name) => readFileSync(path.join(folder, name), "utf8").trim().split("\n"));
    assert.equal(new Set(lines).size, 4);
  });
}

test("abort keeps what was flushed", async () => {
  const { signal } = await ends("aborts", "flushed");
  assert.deepEqual([signal, sink.events.length], ["SIGABRT", 4]);
});

test("a frozen process goes on: what was on its way is settled once", async () => {
  sink.plan.push({ delay: 300 });
  const child = start("ends.mjs", ["freezes"], { RUNTRACED_ENDPOINT: sink.url });
  await once(child.stdout, "data");
  child.kill("SIGSTOP");
  await sleep(1000);
  child.kill("SIGCONT");
  const [said] = await once(child.stdout, "data");
  assert.equal(String(said), "left 0\n");
  assert.deepEqual([sink.events.length, sink.lines.length], [4, 4]);
});

test("SIGKILL keeps what was flushed", async () => {
  const { signal } = await ends("kills", "flushed");
  assert.deepEqual([signal, sink.events.length], ["SIGKILL", 4]);
});

test("SIGTERM sends everything, and still ends the process", async () => {
  const { signal, stderr } = await ends("terminates");
  assert.deepEqual([signal, stderr, sink.events.length], ["SIGTERM", "", 4]);
});

for (const how of ["terminatesTwoCopies", "terminatesBeside"]) {
  test(`so it does beside handlers that wait for all others: ${how}`, async () => {
    const { code, signal } = await ends(how);
    assert.deepEqual([code, signal, sink.events.length], [null, "SIGTERM", 4]);
  });
}

for (const how of ["rejectsARun", "rejectsACall"]) {
  test(`a rejection that nobody handles is still the program's: ${how}`, async () => {
    const { code, stderr } = await ends(how);
    assert.equal(code, 1);
    assert.match(stderr, /Error: nobody handles it/);
  });
}

test("a handler of the program for SIGTERM decides alone", async () => {
  const { code } = await ends("handles", "flushed");
  assert.deepEqual([code, sink.events.length], [7, 4]);
});

test("threads send their own events", async () => {
  const { code, stderr } = await ends("threads");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(sink.of("run_started").map(({ agent_id }) => agent_id).sort(), ["main", "thread", "thread"]);
});

test("a thread that is terminated keeps what was flushed, and harms nobody else", async () => {
  const { code, stderr } = await ends("terminated");
  assert.deepEqual([code, stderr], [0, ""]);
  const agents = sink.of("run_started").map(({ agent_id }) => agent_id);
  assert.deepEqual(agents.filter((agent) => agent !== "lost").sort(), ["main", "thread"]);
  assert.equal(sink.repeated, 0);
});

test("processes that a process forks send their own events, and none of their parent", async () => {
  const { code, stderr } = await ends("forks");
  assert.deepEqual([code, stderr], [0, ""]);
  const agents = sink.of("run_started").map(({ agent_id }) => agent_id);
  assert.deepEqual(agents.sort(), ["below", "child", "child", "parent"]);
  const ids = sink.of("run_started").map(({ run_id }) => run_id);
  assert.deepEqual([new Set(ids).size, sink.of("run_ended").length, sink.repeated], [4, 4, 0]);
});

test("the processes of a cluster send their own events", async () => {
  const { code, stderr } = await ends("cluster");
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(sink.of("run_started").map(({ agent_id }) => agent_id).sort(), ["primary", "worker", "worker"]);
});

test("a daemon that is away delays the end by about a second, and the loss is told", async () => {
  await sink.close();
  const { code, stderr, ms } = await ends("returns");
  assert.equal(code, 0);
  assert.ok(ms < 20_000, `${ms} ms`);
  assert.match(stderr, /runtraced: 4 events are lost: ECONNREFUSED/);
});

for (const how of ["returns", "returnsLate"]) {
  test(`a daemon that takes a request and does not answer delays the end by little more than its timeout: ${how}`, async () => {
    sink.plan.push(...Array.from({ length: 100 }, () => ({ hangs: true })));
    const { code, stderr, ms } = await ends(how);
    assert.equal(code, 0);
    assert.ok(ms < 25_000, `${ms} ms`);
    assert.match(stderr, /runtraced: 4 events are lost: it does not answer/);
  });
}

for (const how of ["returns", "exits", "terminates"]) {
  test(`with a spool nothing is lost while the daemon is away: ${how}`, async () => {
    await sink.close();
    const { stderr } = await endsWithSpool(how);
    assert.doesNotMatch(stderr, /lost/);
    const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
    const lines = files.flatMap((name) => readFileSync(path.join(folder, name), "utf8").trim().split("\n"));
    assert.equal(lines.length, 4);
    await sink.reopen();
    await endsWithSpool("returns");
    assert.equal(sink.events.length, 8);
    assert.equal(sink.repeated, 0);
    assert.deepEqual(readdirSync(folder), []);
  });
}

test("a spool that cannot be used is told, and does not stop the program", async () => {
  const file = path.join(folder, "file");
  writeFileSync(file, "");
  const { code, stderr } = await program("ends.mjs", ["returns"], { RUNTRACED_ENDPOINT: sink.url, RUNTRACED_SPOOL: file });
  assert.equal(code, 0);
  assert.match(stderr, /the spool cannot be opened/);
  assert.equal(sink.events.length, 4);
});
