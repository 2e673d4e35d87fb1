// How events reach the daemon: once each, whatever the network does, and never in the agent's way.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import * as rt from "../dist/esm/node.js";
import { Sink } from "./support/sink.mjs";

let sink;
let problems;

beforeEach(async () => {
  sink = await Sink.start();
  problems = [];
  configure();
});

afterEach(() => sink.close());

function configure(options = {}) {
  rt.configure();
  rt.configure({ endpoint: sink.url, onProblem: (problem) => problems.push(problem), ...options });
}

function oneRun(name = "a") {
  return rt.run(name, { input: "hi" }, () => rt.step("s", () => undefined));
}

test("a start is sent as it happens, the end as a second event", async () => {
  const run = rt.startRun("a");
  for (let at = 0; at < 200 && sink.events.length === 0; at += 1) await sleep(25);
  assert.equal(sink.of("run_started").length, 1);
  run.end();
  run.end();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.of("run_ended").length, 1);
  assert.equal(sink.repeated, 0);
  assert.match(sink.requests[0].headers["content-type"], /ndjson/);
});

test("an answer that is lost makes duplicates at the daemon, not in the run", async () => {
  sink.plan.push({ drop: "after" });
  oneRun();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 4);
  assert.equal(sink.repeated, 4);
  assert.equal(rt.stats().settled, 4);
});

test("connections that break, and 503, are tried again", async () => {
  sink.plan.push({ drop: "before" }, { status: 503 }, { status: 500, body: "oops" });
  oneRun();
  assert.equal(await rt.flush(10_000), 0);
  assert.equal(sink.events.length, 4);
  assert.equal(sink.repeated, 0);
});

test("Retry-After is kept, by a flush as well", async () => {
  sink.plan.push({ status: 429, headers: { "retry-after": "1" } });
  oneRun();
  const left = await rt.flush(400);
  assert.equal(left, 4);
  assert.equal(await rt.flush(5000), 0);
  const [first, second] = sink.requests;
  assert.ok(second.at - first.at >= 990, `came again after ${second.at - first.at} ms`);
});

test("a daemon that is away is tried again when it is back", async () => {
  await sink.close();
  oneRun();
  assert.equal(await rt.flush(300), 4);
  await sink.reopen();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 4);
  assert.match(problems.join("\n"), /ECONNREFUSED/);
});

test("a batch that is too large is halved, and a payload that is too large is dropped", async () => {
  sink.plan.push(...Array.from({ length: 40 }, () => ({ largest: 1500 })));
  await rt.run("a", async () => {
    for (let at = 0; at < 8; at += 1) rt.step(`s${at}`, { input: "x".repeat(400) }, () => undefined);
    rt.step("large", { input: "y".repeat(5000) }, () => undefined);
  });
  assert.equal(await rt.flush(10_000), 0);
  assert.equal(sink.of("step_ended").length, 9);
  const large = sink.of("step_started").find((step) => step.details.name === "large");
  assert.deepEqual(large.details.metadata_json, { runtraced: { dropped: "payload" } });
  assert.equal(rt.stats().droppedPayloads, 1);
});

test("a refused event is told and counted, and harms no other", async () => {
  sink.refuse = (event) => event.step_ended && { code: "ID_CONFLICT", reason: "the id names another step" };
  oneRun();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 3);
  assert.deepEqual([rt.stats().settled, rt.stats().refused], [3, 1]);
  assert.match(problems.join("\n"), /ID_CONFLICT: the id names another step/);
});

test("a body whose events are all refused is settled, whatever its status", async () => {
  const refused = [1, 2, 3, 4].map((line) => ({ line, code: "MISSING_FIELD", reason: "no" }));
  sink.plan.push({ status: 400, body: { accepted: 0, duplicate: 0, refused, error: "all refused", code: "refused" } });
  oneRun();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(rt.stats().refused, 4);
  assert.equal(sink.requests.length, 1);
});

test("answers that are no answers of a daemon are tried again, and never reach the agent", async () => {
  const odd = ["<html>", { refused: "no" }, [], null, 7, { refused: [] }, { accepted: 3, refused: [null, 3, {}] }];
  sink.plan.push(...odd.map((body) => ({ status: 200, body })));
  oneRun();
  for (let at = 0; at < 200 && rt.stats().waiting > 0; at += 1) await rt.flush(100);
  assert.equal(rt.stats().waiting, 0);
  assert.equal(rt.stats().refused, 1);
});

test("flush says how many events are not settled, and comes back in time", async () => {
  sink.plan.push({ delay: 2000 });
  oneRun();
  const begun = performance.now();
  assert.equal(await rt.flush(300), 4);
  assert.ok(performance.now() - begun < 1900);
  assert.equal(rt.stats().waiting, 4);
  assert.equal(await rt.flush(5000), 0);
});

test("a full queue drops the payloads of the oldest events, then the oldest events, and counts both", async () => {
  await sink.close();
  configure({ maxQueueBytes: 200_000 });
  const run = rt.startRun("a");
  for (let at = 0; at < 100; at += 1) run.step(`s${at}`, { input: "x".repeat(2000) }, () => undefined);
  assert.ok(rt.stats().droppedPayloads > 20);
  assert.equal(rt.stats().droppedEvents, 0);
  for (let at = 0; at < 400; at += 1) run.step(`t${at}`, { input: "x".repeat(2000) }, () => undefined);
  const { droppedEvents, droppedPayloads, waiting } = rt.stats();
  assert.ok(droppedEvents > 100 && droppedPayloads > 400, JSON.stringify(rt.stats()));
  assert.equal(waiting + droppedEvents, 1001);
  assert.match(problems.join("\n"), /the queue is full/);
  await sink.reopen();
  assert.equal(await rt.flush(5000), 0);
  const last = sink.of("step_started").at(-1);
  assert.equal(last.details.name, "t399");
  assert.deepEqual(last.details.metadata_json, { runtraced: { dropped: "payload" } });
  assert.equal(sink.of("run_started").length, 0, "the oldest event");
  assert.equal(sink.events.length, waiting);
});

test("the key goes along, and a wrong one is told while events wait", async () => {
  configure({ key: "rt_secret" });
  sink.plan.push({ status: 401, body: { error: "a key is missing or not valid", code: "key_needed" } });
  oneRun();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.requests[0].headers.authorization, "Bearer rt_secret");
  assert.match(problems.join("\n"), /401 a key is missing/);
});

test("the environment sets endpoint, key and whether anything is sent", async () => {
  process.env.RUNTRACED_ENDPOINT = `${sink.url}/`;
  process.env.RUNTRACED_KEY = "rt_of_the_environment";
  rt.configure();
  oneRun();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.requests[0].headers.authorization, "Bearer rt_of_the_environment");
  process.env.RUNTRACED_DISABLED = "true";
  rt.configure();
  oneRun();
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 4);
  for (const name of ["ENDPOINT", "KEY", "DISABLED"]) delete process.env[`RUNTRACED_${name}`];
});

test("many events go in few requests, each once and in order", async () => {
  const run = rt.startRun("a");
  for (let at = 0; at < 5000; at += 1) run.step(`s${at}`, () => undefined);
  run.end();
  assert.equal(await rt.flush(20_000), 0);
  assert.equal(sink.events.length, 10_002);
  assert.equal(sink.repeated, 0);
  assert.ok(sink.requests.length < 20, `${sink.requests.length} requests`);
  assert.deepEqual(sink.of("step_started").map(({ details }) => details.name), Array.from({ length: 5000 }, (_, at) => `s${at}`));
});

test("a silent run sends heartbeats, until it ends", async () => {
  const run = rt.startRun("a", { timeout: 1500 });
  for (let at = 0; at < 200 && sink.of("heartbeat").length === 0; at += 1) await sleep(25);
  assert.ok(sink.of("heartbeat").length >= 1, "no heartbeat");
  assert.equal(sink.of("heartbeat")[0].run_id, run.id);
  run.end();
  await rt.flush(5000);
  const beats = sink.of("heartbeat").length;
  await sleep(1500);
  assert.equal(sink.of("heartbeat").length, beats);
});

test("an event that is refused for its payload is sent again without it", async () => {
  sink.refuse = (event) => {
    const text = event.step_started?.details.input_json ?? event.step_ended?.output_json;
    return text?.length > 1000 && { code: "FIELD_TOO_LONG", reason: "too long" };
  };
  rt.run("a", () => rt.step("s", { input: "x".repeat(2000) }, (step) => { step.output = "x".repeat(2000); }));
  assert.equal(await rt.flush(5000), 0);
  assert.deepEqual(sink.of("step_started").map(({ details }) => details.metadata_json), [{ runtraced: { dropped: "payload" } }]);
  assert.deepEqual(sink.of("step_ended").map(({ status }) => status), ["END_STATUS_COMPLETED"]);
  const { settled, refused, droppedPayloads } = rt.stats();
  assert.deepEqual({ settled, refused, droppedPayloads }, { settled: 4, refused: 0, droppedPayloads: 2 });
  assert.match(problems.join("\n"), /FIELD_TOO_LONG/);
});
