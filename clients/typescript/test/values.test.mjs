// Values that are too large, or that break when they are read: the agent goes on, and the rest is recorded.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import * as rt from "../dist/esm/node.js";
import { Sink, value } from "./support/sink.mjs";

let sink;

beforeEach(async () => {
  sink = await Sink.start();
  rt.configure();
  rt.configure({ endpoint: sink.url, maxQueueBytes: 256 * 1024 * 1024 });
});

afterEach(async () => {
  // What is left would count in the next test.
  await rt.flush(5000);
  await sink.close();
});

const inputs = () => sink.of("step_started").map(({ details }) => value(details.input_json));
const MOST = 8 * 1024 * 1024;

test("a getter that throws takes nothing else with it", async () => {
  const broken = { a: 1, get b() { throw new Error("no"); } };
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const before = rt.stats().faults;
  rt.run("a", { metadata: broken }, () => {
    rt.step("s", { input: broken, metadata: proxy }, (step) => { step.metadata = broken; });
  });
  rt.run("b", { metadata: proxy }, () => undefined);
  assert.equal(await rt.flush(5000), 0);
  const shown = { a: 1, b: "[unreadable: Error]" };
  assert.deepEqual(inputs(), [shown]);
  assert.deepEqual(sink.of("step_started")[0].details.metadata_json, { value: "[unreadable: TypeError]" });
  assert.deepEqual(sink.of("run_started").map(({ metadata_json }) => metadata_json), [shown, { metadata: "[unreadable: TypeError]" }]);
  assert.equal(sink.of("step_ended").length, 1);
  assert.ok(rt.stats().faults - before <= 1, "only what was assigned to the step");
});

test("a text that is longer than the daemon takes is cut, and says so", async () => {
  const text = "z\n".repeat(MOST);
  rt.run("a", { input: text }, () => {
    rt.step("s", { input: text }, () => undefined);
    rt.step("s", { input: { text } }, () => undefined);
  });
  assert.equal(await rt.flush(60_000), 0);
  const end = `z\n [${MOST} more characters]`;
  assert.ok(sink.of("run_started")[0].input.endsWith(end));
  const [alone, within] = inputs();
  assert.equal(alone.length, MOST + end.length - 2);
  assert.ok(alone.endsWith(end));
  assert.match(within.text, /z\n?z? \[\d+ more characters\]$/);
});

test("a text that is there many times ends", async () => {
  const text = "z".repeat(1024 * 1024);
  rt.run("a", () => {
    rt.step("texts", { input: Array(5000).fill(text) }, () => undefined);
    rt.step("numbers", { input: Array(10_000).fill(Array(1000).fill(12345)) }, () => undefined);
    rt.step("names", { input: Array(10_000).fill(Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`a long name ${at}`, true]))) }, () => undefined);
    rt.step("map", { input: new Map([["a", Array(5000).fill(text)], ["b", 1]]) }, () => undefined);
  });
  assert.equal(await rt.flush(60_000), 0);
  for (const input of inputs()) {
    const json = JSON.stringify(input);
    assert.ok(json.length < 3 * MOST, `${json.length}`);
    assert.match(json, /too many values|more characters/);
  }
  assert.equal(inputs().length, 4);
});

test("of a generator that goes on for ever, a part is kept", async () => {
  const line = "x".repeat(1024);
  const endless = rt.traced(function* endless(item) { for (;;) yield item; });
  rt.run("a", () => {
    for (const item of [line, { line }]) {
      const lines = endless(item);
      for (let at = 0; at < 20_000; at += 1) lines.next();
      lines.return();
    }
  });
  assert.equal(await rt.flush(60_000), 0);
  const outputs = sink.of("step_ended").map(({ output_json }) => value(output_json));
  assert.match(outputs[0], /x\[\d+ more\]$/);
  assert.ok(outputs[0].length < MOST);
  assert.equal(outputs[1].at(-1), "[19000 more]");
});

test("a user, a session and tags of any type take no run with them", async () => {
  const all = [Symbol("s"), 7, { id: 1 }, { id: 2 }, Object.create(null)];
  for (const odd of all) {
    rt.run("a", { user: odd, session: odd, tags: [odd], metadata: { odd } }, (run) => run.message(odd, "hi"));
  }
  rt.run("a", (run) => ["constructor", "__proto__"].forEach((role) => run.message(role, "hi")));
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.of("run_started").length, all.length + 1);
  assert.deepEqual(sink.of("message_appended").map(({ role }) => role), Array(all.length + 2).fill("MESSAGE_ROLE_USER"));
  const sessions = sink.of("run_started").slice(0, -1).map(({ session_id }) => session_id);
  assert.equal(new Set(sessions).size, all.length);
});
