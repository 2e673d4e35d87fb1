// What a program calls, and what is recorded.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import * as rt from "../dist/esm/node.js";
import { Sink, value } from "./support/sink.mjs";

let sink;

beforeEach(async () => {
  sink = await Sink.start();
  rt.configure();
  rt.configure({ endpoint: sink.url });
});

afterEach(async () => {
  // What is left would count in the next test.
  await rt.flush(5000);
  await sink.close();
});

async function sent() {
  assert.equal(await rt.flush(5000), 0);
  const ends = new Map(sink.of("step_ended").map((end) => [end.step_id, end]));
  return sink.of("step_started").map(({ step_id, details }) => {
    const end = ends.get(step_id);
    return {
      name: details.name,
      kind: details.step_type.replace("STEP_TYPE_", ""),
      parent: details.parent_step_id,
      id: step_id,
      input: details.input_json === undefined ? undefined : value(details.input_json),
      status: end?.status.replace("END_STATUS_", ""),
      output: end?.output_json === undefined ? undefined : value(end.output_json),
      error: end?.error,
    };
  });
}

test("texts become the JSON that JSON.stringify writes", async () => {
  const pieces = ["a", " ", '"', "\\", "\n", "\r", "\t", "\u0000", "\u007f", "é", "\u2028", "好", "\ud800", "/", "{", "[", "true"];
  const texts = ["", "42", "null", '{"a":1}'];
  for (let at = 0; at < 500; at += 1) {
    const length = at % 12;
    const some = Math.random() < 0.5 ? pieces : pieces.slice(0, 5);
    texts.push(Array.from({ length }, () => some[Math.floor(Math.random() * some.length)]).join(""));
  }
  rt.run("a", { input: texts[0] }, (run) => {
    for (const text of texts) rt.step(text, { input: text }, (step) => { step.output = text; });
    run.output = texts.at(-1);
  });
  assert.equal(await rt.flush(5000), 0);
  const sent = (text) => JSON.parse(JSON.stringify(text));
  assert.deepEqual(sink.of("step_started").map(({ details }) => details.name), texts.map(sent));
  assert.deepEqual(sink.of("step_started").map(({ details }) => JSON.parse(details.input_json)), texts.map(sent));
  assert.deepEqual(sink.of("step_ended").map(({ output_json }) => JSON.parse(output_json)), texts.map(sent));
  assert.ok(sink.lines.every((line) => !line.includes("\n")));
});

test("a result of a function, a promise and an error come back unchanged", async () => {
  const promise = Promise.resolve(7);
  assert.equal(rt.run("a", () => 42), 42);
  assert.equal(await rt.run("a", () => promise), 7);
  const error = new RangeError("no");
  assert.throws(() => rt.run("a", () => { throw error; }), error);
  await assert.rejects(rt.run("a", async () => { throw error; }), error);
  assert.equal(await rt.flush(5000), 0);
  assert.deepEqual(sink.of("run_ended").map((end) => end.error), [undefined, undefined, "RangeError: no", "RangeError: no"]);
});

test("a lazy thenable runs once", async () => {
  let queries = 0;
  const query = { then: (done) => { queries += 1; done("rows"); } };
  assert.equal(await rt.run("a", () => query), "rows");
  assert.equal(await rt.run("a", () => rt.traced(() => query)()), "rows");
  assert.equal(queries, 2);
  assert.equal(await rt.flush(5000), 0);
  assert.deepEqual(sink.of("step_ended").map(({ output_json }) => value(output_json)), ["rows"]);
});

test("what a traced function returns keeps its members, and is the same object", async () => {
  class Rows {
    #rows = [1, 2];
    table = "t";
    next() { return this.#rows.length > 0 ? { done: false, value: this.#rows.shift() } : { done: true, value: "end" }; }
    return() { return { done: true, value: undefined }; }
    throw(error) { throw error; }
    [Symbol.iterator]() { return this; }
  }
  const query = { filters: [], eq(filter) { this.filters.push(filter); return this; }, then(done) { done(this.filters); } };
  const ending = Object.assign(Promise.resolve("ok"), { cancel: () => "cancelled" });
  const frozen = Object.freeze((function* () { yield 1; })());
  await rt.run("a", async () => {
    const rows = rt.traced(() => new Rows())();
    assert.equal(rows.table, "t");
    assert.deepEqual([...rows], [1, 2]);
    assert.deepEqual(await rt.traced(() => query)().eq("x"), ["x"]);
    assert.equal(rt.traced(() => ending)().cancel(), "cancelled");
    assert.deepEqual([...rt.traced(() => frozen)()], [1]);
    assert.equal(typeof rt.traced(() => revoked())(), "object");
    assert.equal(rt.traced(() => query)(), query);
  });
  const outputs = (await sent()).map(({ output }) => output);
  assert.deepEqual(outputs.slice(0, 3), [{ items: [1, 2], result: "end" }, ["x"], "ok"]);
});

test("traced functions are steps within a run, and plain functions outside", async () => {
  const add = rt.traced(function add(a, b) { return a + b; }, { kind: "tool" });
  const later = rt.traced(async (q) => { await sleep(1); return { q }; }, { name: "later" });
  assert.equal(add(1, 2), 3);
  assert.equal(add.name, "add");
  assert.equal(add.length, 2);
  await rt.run("a", async () => {
    add(1, 2);
    await later("x");
    const failing = rt.traced(() => { throw new TypeError("broken"); }, { name: "failing", input: false });
    assert.throws(() => failing("secret"), /broken/);
    rt.traced(() => "secret", { name: "quiet", output: false })();
  });
  const steps = await sent();
  assert.deepEqual(steps.map(({ name, kind, input, output, status, error }) => ({ name, kind, input, output, status, error })), [
    { name: "add", kind: "TOOL_CALL", input: [1, 2], output: 3, status: "COMPLETED", error: undefined },
    { name: "later", kind: "OTHER", input: "x", output: { q: "x" }, status: "COMPLETED", error: undefined },
    { name: "failing", kind: "OTHER", input: undefined, output: undefined, status: "FAILED", error: "TypeError: broken" },
    { name: "quiet", kind: "OTHER", input: undefined, output: undefined, status: "COMPLETED", error: undefined },
  ]);
});

test("traced functions keep their properties", () => {
  const schema = { type: "object" };
  const tool = rt.traced(Object.assign(function find(q) { return q; }, { schema }), { kind: "tool" });
  assert.equal(tool.schema, schema);
  assert.deepEqual([tool.name, tool.length], ["find", 1]);
});

test("traced methods keep their object", async () => {
  class Tool {
    factor = 3;
    times(n) { return n * this.factor; }
  }
  Tool.prototype.times = rt.traced(Tool.prototype.times);
  assert.equal(rt.run("a", () => new Tool().times(2)), 6);
});

test("a generator's step lasts from the first value to the last, and is open only while its code runs", async () => {
  const inner = rt.traced(() => 1, { name: "inner" });
  const counting = rt.traced(function* counting(n) {
    for (let at = 0; at < n; at += 1) { inner(); yield { at }; }
    return "end";
  });
  await rt.run("a", async () => {
    const never = counting(9);
    assert.equal(typeof never.next, "function");
    for (const { at } of counting(2)) rt.step(`outside ${at}`, () => undefined);
  });
  const steps = await sent();
  assert.deepEqual(steps.map(({ name }) => name), ["counting", "inner", "outside 0", "inner", "outside 1"]);
  const [whole, first, outside] = steps;
  assert.deepEqual(whole.output, { items: [{ at: 0 }, { at: 1 }], result: "end" });
  assert.equal(first.parent, whole.id);
  assert.equal(outside.parent, undefined);
});

test("an async generator that is left early ends its step with what it gave", async () => {
  const words = rt.traced(async function* words() {
    try { yield "a"; yield "b"; yield "c"; } finally { await rt.step("clean up", async () => sleep(1)); }
  });
  const failing = rt.traced(async function* failing() { yield "x"; throw new Error("lost"); });
  await rt.run("a", async () => {
    for await (const word of words()) if (word === "b") break;
    await assert.rejects(async () => { for await (const _ of failing()); }, /lost/);
  });
  const steps = await sent();
  assert.deepEqual(steps.map(({ name, output, status, error }) => [name, output, status, error]), [
    ["words", "ab", "COMPLETED", undefined],
    ["clean up", undefined, "COMPLETED", undefined],
    ["failing", "x", "FAILED", "Error: lost"],
  ]);
  assert.equal(steps[1].parent, steps[0].id);
});

test("parallel steps keep apart", async () => {
  await rt.run("a", async () => {
    await Promise.all(["x", "y", "z"].map((name, at) => rt.step(name, async () => {
      await sleep(3 - at);
      await rt.step(`${name} below`, async () => sleep(1));
      rt.message("user", name);
    })));
  });
  const steps = await sent();
  const ids = new Map(steps.map((step) => [step.name, step.id]));
  for (const name of ["x", "y", "z"]) {
    assert.equal(steps.find((step) => step.name === `${name} below`).parent, ids.get(name));
    assert.equal(sink.of("message_appended").find(({ content }) => content === name).step_id, ids.get(name));
  }
});

test("what goes on after a step has ended belongs to what is still open", async () => {
  let background;
  await rt.run("a", async () => {
    rt.step("short", () => { background = sleep(20).then(() => rt.step("later", () => undefined)); });
    await background;
  });
  const [, later] = await sent();
  assert.equal(later.parent, undefined);
});

test("explicit scopes need no context", async () => {
  const run = rt.startRun("a");
  const step = run.startStep("outer", { kind: "tool" });
  step.startStep("inner").end();
  step.message("tool", "done");
  step.fail(new Error("late"));
  step.fail(new Error("ignored"));
  run.end();
  const [outer, inner] = await sent();
  assert.equal(inner.parent, outer.id);
  assert.equal(outer.error, "Error: late");
  assert.equal(sink.of("message_appended")[0].step_id, outer.id);
});

test("values that JSON does not have do not throw, and show what they were", async () => {
  const circle = { name: "c" };
  circle.self = circle;
  const hostile = { get a() { throw new Error("no"); }, toJSON: undefined };
  const deep = {};
  let at = deep;
  for (let level = 0; level < 10_000; level += 1) at = at.down = {};
  class Point { constructor() { this.x = 1; } }
  const input = {
    circle, hostile, big: 12n, huge: 2n ** 70n, map: new Map([["k", 1]]), pairs: new Map([[1, 2]]), set: new Set([1, "b"]),
    date: new Date(0), bad: new Date(NaN), bytes: new Uint8Array(3), error: new TypeError("t"), gone: undefined, nan: NaN,
    fn: function named() {}, symbol: Symbol("s"), point: new Point(), regex: /x/, url: new URL("http://a/"), boxed: new String("b"),
  };
  await rt.run("a", async () => {
    rt.step("values", { input }, (step) => { step.output = deep; });
    rt.step("revoked", { input: revoked() }, (step) => { step.metadata = { circle }; });
    rt.message("user", circle, { toolCalls: 5n });
  });
  const [values, dead] = await sent();
  assert.deepEqual(values.input, {
    circle: { name: "c", self: "[circular]" }, hostile: { a: "[unreadable: Error]" }, big: 12, huge: String(2n ** 70n), map: { k: 1 },
    pairs: [[1, 2]], set: [1, "b"], date: "1970-01-01T00:00:00.000Z", bad: "Invalid Date", bytes: "[3 bytes]", error: "TypeError: t",
    nan: "NaN", fn: "[function named]", symbol: "Symbol(s)", point: { x: 1 }, regex: "/x/", url: "http://a/", boxed: "b",
  });
  assert.match(JSON.stringify(values.output), /too deep/);
  assert.match(dead.input, /unreadable/);
});

test("objects that are there many times end", async () => {
  const tree = { children: [] };
  for (const name of ["a", "b"]) tree.children.push({ name, parent: tree });
  let doubled = [1];
  let node = { name: "n" };
  for (let level = 0; level < 60; level++) [doubled, node] = [[doubled, doubled], { left: node, right: node }];
  const row = Array(1000).fill([0]);
  const wide = Array(1000).fill(Array(1000).fill(row));
  await rt.run("a", async () => {
    for (const input of [tree, doubled, node, wide]) {
      const begun = performance.now();
      rt.step("s", { input }, () => {});
      assert.ok(performance.now() - begun < 10_000);
    }
  });
  const [first] = await sent();
  assert.deepEqual(first.input, { children: ["a", "b"].map((name) => ({ name, parent: "[circular]" })) });
});

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

test("whatever is passed, nothing throws into the agent", async () => {
  const odd = [null, 0, "", Symbol("s"), 1n, () => 1, { get name() { throw new Error("no"); } }];
  for (const one of odd) {
    assert.equal(rt.run(one, one, (run) => {
      run.step(one, one, (step) => Object.assign(step, { output: one, error: one, model: one }));
      run.message(one, one, one);
      run.score(one, one);
      run.score("n", { value: NaN, label: one, metadata: one });
      run.tokens({ input: NaN, output: "x", model: one });
      run.approval(one, one, one);
      run.startRun(one, { session: one, user: one, tags: one, metadata: one, timeout: one, traceparent: one, customer: one }).end();
      run.output = one;
      return 7;
    }), 7);
  }
  assert.equal(rt.traced(() => 8, { name: Symbol("s") })(), 8);
  await rt.flush(5000);
  assert.ok(rt.stats().faults < 100);
});

test("a value is recorded as it was at the call", async () => {
  const history = ["one"];
  rt.run("a", { metadata: { history } }, () => {
    rt.step("s", { input: history }, () => history.push("two"));
  });
  const [step] = await sent();
  assert.deepEqual(step.input, ["one"]);
  assert.deepEqual(sink.of("run_started")[0].metadata_json, { history: ["one"] });
});

test("a mask gets a copy, and a promise of a mask lets nothing through", async () => {
  const secret = { key: "k", n: 1 };
  rt.configure({ endpoint: sink.url, mask: (value) => { if (typeof value === "object") value.key = "[masked]"; return value; } });
  rt.run("a", () => rt.step("s", { input: secret }, () => undefined));
  assert.equal(await rt.flush(5000), 0);
  assert.equal(secret.key, "k");
  assert.deepEqual(sink.of("step_started")[0].details.input_json, { key: "[masked]", n: 1 });
  rt.configure({ endpoint: sink.url, mask: async (value) => value });
  rt.run("b", { input: "secret" }, () => undefined);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.of("run_started")[1].input, "[masking failed]");
  assert.equal(rt.stats().maskingFailures, 1);
});

test("an agent that is called over HTTP goes on in the caller's run", async () => {
  await rt.run("caller", async (run) => {
    const headers = new Headers({ traceparent: rt.traceparent() });
    const plain = { TraceParent: headers.get("traceparent") };
    assert.match(headers.get("traceparent"), new RegExp(`^00-${run.id.replaceAll("-", "")}-[0-9a-f]{16}-01$`));
    for (const traceparent of [headers, plain]) {
      const called = rt.startRun("callee", { traceparent });
      assert.equal(called.id, run.id);
      called.end();
    }
  });
  assert.equal(rt.traceparent(), undefined);
  assert.equal(await rt.flush(5000), 0);
  assert.equal(sink.of("run_started").length, 1);
  assert.equal(sink.of("step_aliased").length, 1);
});

test("sampling keeps about its share of runs, and each whole", async () => {
  rt.configure({ endpoint: sink.url, sample: 0.5 });
  for (let at = 0; at < 400; at += 1) rt.run("a", () => rt.step("s", () => undefined));
  rt.run("always", { sample: 1 }, () => undefined);
  assert.equal(await rt.flush(5000), 0);
  const kept = sink.of("run_started").filter(({ agent_id }) => agent_id === "a").length;
  assert.ok(kept > 120 && kept < 280, `${kept} of 400`);
  assert.equal(sink.of("step_ended").length, kept);
  assert.equal(sink.of("run_started").filter(({ agent_id }) => agent_id === "always").length, 1);
});

test("a run that sampling left out, and that nobody ends, does not hold its part of the memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  rt.configure({ endpoint: sink.url, sample: 0, maxQueueBytes: 400_000 });
  const forget = () => rt.startRun("forgotten", { input: "x".repeat(90_000) });
  forget();
  let kept;
  for (let at = 0; at < 100 && kept === undefined; at += 1) {
    collect();
    await sleep(10);
    const run = rt.startRun("failed", { input: "y".repeat(90_000) });
    run.fail(new Error("no"));
    await rt.flush(5000);
    kept = sink.of("run_started").find(({ input }) => input?.startsWith("y"));
  }
  assert.ok(kept);
});

test("settings that are not given stay, and a score may come later, by ids", async () => {
  rt.configure({ customer: "0194bb0a-0000-7000-8000-00000000000c" });
  const [run, step] = ["0194bb0b-0000-7000-8000-000000000001", "0194bb0b-0000-7000-8000-000000000002"];
  rt.score("thumbs", { run, step, value: 1 });
  assert.equal(await rt.flush(5000), 0);
  const [{ score_id, ...score }] = sink.of("score_added");
  assert.deepEqual(score, { run_id: run, step_id: step, name: "thumbs", value: 1 });
  assert.equal(sink.requests[0].headers["runtraced-customer"], "0194bb0a-0000-7000-8000-00000000000c");
});

test("an approval waits for the decision, and pending approves nothing", async () => {
  let asked = 0;
  sink.approvals = (url) => {
    asked += 1;
    assert.match(url, /\?wait=\d+s$/);
    if (asked === 1) return { status: 404, body: { error: "no such approval", code: "not_found" } };
    if (asked === 2) return { status: 503, body: { error: "no", code: "unavailable" } };
    return { body: { approval: { id: url.split(/[/?]/)[3], status: "approved", notes: "Good." } } };
  };
  await rt.run("a", async (run) => {
    const decision = await run.approval("Send the mail?", { to: "dana" }, { action: "send_email" }).wait(10_000);
    assert.deepEqual(decision, { status: "approved", approved: true, notes: "Good." });
    sink.approvals = () => ({ body: { approval: { status: "pending", notes: null } } });
    const begun = performance.now();
    assert.deepEqual(await run.approval("More?").wait(700), { status: "pending", approved: false, notes: undefined });
    assert.ok(performance.now() - begun < 5000);
    assert.equal(sink.of("approval_requested").length, 2);
  });
  const nobody = rt.approval("Outside?");
  assert.equal(nobody.id, undefined);
  assert.equal((await nobody.wait(10_000)).approved, false);
});
