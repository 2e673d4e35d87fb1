// Surroundings that do harm: other servers, clocks that are set, listeners and masks that fail, a traced `fetch`.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import * as rt from "../dist/esm/node.js";
import { Sink } from "./support/sink.mjs";

let sink;
let problems;
let rejections;
const rejected = (error) => rejections.push(error);

beforeEach(async () => {
  sink = await Sink.start();
  problems = [];
  rejections = [];
  process.on("unhandledRejection", rejected);
  configure();
});

afterEach(async () => {
  await rt.flush(5000);
  await sink.close();
  process.off("unhandledRejection", rejected);
});

function configure(options = {}) {
  rt.configure();
  rt.configure({ endpoint: sink.url, onProblem: (problem) => problems.push(problem), ...options });
}

for (const [status, wanted] of [[400, { droppedEvents: 0, droppedPayloads: 0 }], [413, { droppedEvents: 0, droppedPayloads: 0 }]]) {
  test(`another server that answers ${status} to everything has no event dropped`, async () => {
    sink.plan.push(...Array.from({ length: 1000 }, () => ({ status, body: "<html>no</html>" })));
    rt.run("a", { input: "hi" }, () => rt.step("s", () => undefined));
    assert.equal(await rt.flush(600), 4);
    const { droppedEvents, droppedPayloads } = rt.stats();
    assert.deepEqual({ droppedEvents, droppedPayloads }, wanted);
    sink.plan.length = 0;
    assert.equal(await rt.flush(60_000), 0);
    assert.equal(sink.of("run_started")[0].input, "hi");
  });
}

test("a proxy that says 413 to a large event has its payload dropped, not the event", async () => {
  sink.plan.push(...Array.from({ length: 1000 }, () => ({ largest: 20_000, body: "<html>no</html>" })));
  rt.run("a", () => rt.step("s", { input: "x".repeat(100_000) }, () => undefined));
  assert.equal(await rt.flush(60_000), 0);
  assert.deepEqual([sink.events.length, rt.stats().droppedPayloads, rt.stats().droppedEvents], [4, 1, 0]);
});

test("a server that asks for no pause gets one", async () => {
  sink.plan.push(...Array.from({ length: 1000 }, () => ({ status: 429, headers: { "retry-after": "0" } })));
  rt.run("a", () => undefined);
  await sleep(500);
  sink.plan.length = 0;
  assert.ok(sink.requests.length < 10, `${sink.requests.length} requests`);
});

test("a clock that is set back, while the daemon asked to wait, does not stop the sending", async (t) => {
  sink.plan.push({ status: 429, headers: { "retry-after": "1" } });
  rt.run("a", () => undefined);
  while (sink.requests.length === 0) await sleep(5);
  await sleep(50);
  const now = Date.now.bind(Date);
  t.mock.method(Date, "now", () => now() - 3_600_000);
  assert.equal(await rt.flush(5000), 0);
});

test("a timer that fires too early does not lose its turn", async (t) => {
  sink.plan.push({ status: 429, headers: { "retry-after": "0.3" } });
  rt.run("a", () => undefined);
  while (sink.requests.length === 0) await sleep(5);
  await sleep(50);
  // As if the timer had fired 200 ms before its time.
  const now = Date.now.bind(Date);
  t.mock.method(Date, "now", () => now() - 200);
  for (let at = 0; at < 200 && rt.stats().waiting > 0; at += 1) await sleep(25);
  assert.equal(rt.stats().waiting, 0);
});

test("a traced fetch does not record the requests of the library, and so cause more of them", async () => {
  const { fetch } = globalThis;
  globalThis.fetch = rt.traced(fetch, { name: "fetch", input: false, output: false });
  try {
    await rt.run("a", async () => {
      for (let at = 0; at < 200 && sink.events.length < 1; at += 1) await sleep(25);
      // This wakes the sender within the run.
      rt.step("s", () => undefined);
      for (let at = 0; at < 200 && sink.events.length < 3; at += 1) await sleep(25);
      await sleep(200);
    });
    assert.equal(await rt.flush(5000), 0);
    assert.equal(sink.events.length, 4);
  } finally {
    globalThis.fetch = fetch;
  }
});

test("a listener and a mask that return promises which fail harm nobody", async () => {
  configure({ customer: "acme", onProblem: async () => { throw new Error("listener"); }, mask: async () => { throw new Error("mask"); } });
  rt.run("a", { input: "secret" }, () => undefined);
  assert.equal(await rt.flush(5000), 0);
  await sleep(10);
  assert.deepEqual(rejections, []);
});

test("a listener that records what it hears does not call itself", async () => {
  let heard = 0;
  const run = rt.startRun("a");
  configure({ maxQueueBytes: 1000, onProblem: () => { heard += 1; rt.score("problem", { run: run.id, value: 1 }); } });
  sink.plan.push({ delay: 200 });
  for (let at = 0; at < 5; at += 1) rt.score("some", { run: run.id, value: 1 });
  assert.ok(heard >= 1 && heard <= 10, `${heard} calls`);
  run.end();
});

test("one event that does not fit costs the others nothing", async () => {
  configure({ maxQueueBytes: 100_000 });
  sink.plan.push({ delay: 200 });
  rt.run("a", { input: "kept" }, () => rt.step("large", { input: "x".repeat(200_000) }, () => undefined));
  assert.equal(rt.stats().droppedPayloads, 1);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.of("run_started")[0].input, "kept");
  assert.deepEqual(sink.of("step_started")[0].details.metadata_json, { runtraced: { dropped: "payload" } });
});

test("options that are null are none", async () => {
  const run = rt.startRun("a", null);
  const step = run.startStep("s", null);
  assert.equal(step.model, undefined);
  step.end();
  run.end();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 4);
});

test("what wrap cannot change is told, and given back", async () => {
  const frozen = { chat: { completions: Object.freeze({ create: () => 1 }) } };
  const hostile = new Proxy({}, { get() { throw new Error("no"); } });
  for (const client of [frozen, hostile, undefined, null, 7]) assert.equal(rt.wrap(client), client);
  assert.equal(problems.length, 5);
  assert.equal(frozen.chat.completions.create(), 1);
});
