// Settings and numbers of a wrong kind: nothing throws, what is wrong is told, and the rest counts.

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

afterEach(async () => {
  await rt.flush(5000);
  await sink.close();
});

function configure(options = {}) {
  rt.configure();
  rt.configure({ endpoint: sink.url, onProblem: (problem) => problems.push(problem), ...options });
}

const told = () => problems.join("\n");

test("settings of a wrong type are told, and replaced by the defaults", async () => {
  const wrong = {
    sample: "half", maxQueueBytes: NaN, maxSpoolBytes: -1, exitTimeout: {}, requestTimeout: "soon", customer: "acme", disabled: 7,
    keepFailures: 1, spool: 5, fetch: "no", key: 7,
  };
  configure(wrong);
  for (const name of Object.keys(wrong)) assert.match(told(), new RegExp(`the setting ${name} is not `));
  assert.equal(problems.length, Object.keys(wrong).length);
  rt.run("a", () => undefined);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.events.length, 2);
  assert.equal(sink.requests[0].headers["runtraced-customer"], undefined);
});

test("texts of numbers and an address that is no text are understood", async () => {
  configure({ endpoint: new URL(sink.url), sample: "1", maxQueueBytes: "1000000", requestTimeout: "5000", disabled: "false" });
  rt.run("a", () => undefined);
  configure({ endpoint: sink.url.slice("http://".length) });
  rt.run("a", () => undefined);
  assert.equal(await rt.flush("5000"), 0);
  assert.deepEqual([sink.events.length, told()], [4, ""]);
});

test("a mask that is no function lets nothing through", async () => {
  configure({ mask: { email: true } });
  rt.run("a", { input: "secret" }, () => undefined);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.of("run_started")[0].input, "[masking failed]");
  assert.match(told(), /the setting mask is not a function/);
});

test("a key that cannot be sent is told, but not shown", async () => {
  for (const key of ["rt_se\ncret", "rt_sécret", "rt_\u20ac_secret"]) configure({ key });
  process.env.RUNTRACED_KEY = "rt_se cret";
  configure();
  delete process.env.RUNTRACED_KEY;
  assert.equal(problems.length, 4);
  assert.doesNotMatch(told(), /rt_/);
  configure({ key: " rt_secret\n" });
  rt.run("a", () => undefined);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.requests[0].headers.authorization, "Bearer rt_secret");
});

test("a password in the address is left out, and never shown", async () => {
  configure({ endpoint: sink.url.replace("//", "//ada:p@ss@") });
  rt.run("a", () => undefined);
  assert.equal(await rt.flush(5000), 0);
  assert.match(told(), /the setting endpoint holds a name or a password/);
  assert.doesNotMatch(told(), /p@ss/);
});

test("a flush waits for ever, or not at all, as it was asked to", async () => {
  const warnings = [];
  const warned = (warning) => warnings.push(warning.name);
  process.on("warning", warned);
  sink.plan.push({ delay: 300 });
  rt.run("a", () => undefined);
  assert.equal(await rt.flush(-1), 2);
  assert.equal(await rt.flush(Infinity), 0);
  await sleep(1);
  process.off("warning", warned);
  assert.deepEqual(warnings, []);
});

test("a flush waits for what was recorded before the settings changed", async () => {
  sink.plan.push({ delay: 300 });
  rt.run("a", () => undefined);
  configure();
  assert.equal(await rt.flush(10_000), 0);
  assert.equal(sink.events.length, 2);
});

test("what the daemon would refuse is left out and told: timeouts, customers, counts, ids", async () => {
  for (const timeout of [NaN, 0, -1, 1e300, {}]) rt.run("a", { timeout, customer: "acme" }, () => undefined);
  rt.run("b", { timeout: "1500" }, (run) => {
    run.tokens({ input: -1, output: 3e9, cacheRead: 7 });
    run.approval("Now?", undefined, { expires: 1e300 });
  });
  assert.equal(await rt.flush(5000), 0);
  assert.deepEqual(sink.of("run_started").map(({ timeout }) => timeout), [...Array(5).fill(undefined), "1.5s"]);
  assert.ok(sink.of("run_started").every((start) => !("customer_id" in start)));
  const [{ input, output, cache_read }] = sink.of("token_count");
  assert.deepEqual([input, output, cache_read], [undefined, undefined, 7]);
  assert.deepEqual(sink.of("approval_requested").map(({ expires_at }) => expires_at), [undefined]);
  assert.match(told(), /the timeout of a run/);
  assert.match(told(), /the customer of a run/);
});

test("a timeout that is no number does not make heartbeats without a pause", async () => {
  const run = rt.startRun("a", { timeout: NaN });
  await rt.flush(5000);
  const requests = sink.requests.length;
  await sleep(400);
  run.end();
  assert.equal(sink.of("heartbeat").length, 0);
  assert.equal(sink.requests.length, requests);
});

test("an id that comes from a request cannot write events", async () => {
  const other = '{"time":"2026-01-01T00:00:00Z","heartbeat":{"run_id":"0194bb0b-0000-7000-8000-000000000001"}}';
  rt.score("thumbs", { run: `x"}}\n${other}\n`, value: 1 });
  rt.score("thumbs", { run: "0194bb0b-0000-7000-8000-000000000001", step: `x"}}\n${other}`, value: 1 });
  rt.score("thumbs", { run: 7, value: 1 });
  assert.equal(await rt.flush(5000), 0);
  assert.deepEqual(sink.events, []);
  assert.match(told(), /a score is not recorded/);
});
