// Makes the calls of a conformance case, and compares events with those that the case wants.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const folder = new URL("../../../conformance/cases/", import.meta.url);

export function cases() {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => ({ name, ...JSON.parse(readFileSync(new URL(name, folder), "utf8")) }));
}

const MASKS = {
  redact: (value) => {
    if (typeof value === "string") return value.includes("secret") ? "[masked]" : value;
    if (Array.isArray(value)) return value.map(MASKS.redact);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, MASKS.redact(item)]));
  },
  fail: () => {
    throw new Error("the mask does not work");
  },
};

/** The options of a case, as this client spells them. */
export function optionsOf({ configure = {} }) {
  const options = spelled(configure);
  if (options.mask) options.mask = MASKS[options.mask];
  return options;
}

const SECONDS = new Set(["timeout", "expires"]);

/** `parent_run` is `parentRun` here, and times are milliseconds. Values are not touched. */
function spelled(args = {}) {
  const entries = Object.entries(args).map(([name, value]) => [
    name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()),
    SECONDS.has(name) ? value * 1000 : value,
  ]);
  return Object.fromEntries(entries);
}

/** Calls the library. `alone` calls a function where nothing is open, as in another process. */
export async function play(rt, { calls }, alone) {
  const saved = new Map();
  await all(calls, undefined);

  async function all(calls, open) {
    for (const call of calls) await one(call, open);
  }

  async function one(call, open) {
    const args = spelled(call.args);
    if (typeof args.traceparent === "string" && args.traceparent.startsWith("@")) args.traceparent = saved.get(args.traceparent.slice(1));
    if ("run" in call) return rt.run(call.run, args, (run) => all(call.do, run));
    if ("step" in call) return rt.step(call.step, args, (step) => all(call.do, step));
    if ("set" in call) return Object.assign(open, call.set);
    if ("message" in call) return rt.message(...call.message, args);
    if ("tokens" in call) return rt.tokens(spelled(call.tokens));
    if ("score" in call) return call.of ? saved.get(call.of).score(call.score, args) : rt.score(call.score, args);
    if ("approval" in call) return rt.approval(call.approval, args.data, args);
    if ("raise" in call) throw Object.assign(new Error(call.raise[1]), { name: call.raise[0] });
    if ("catch" in call) return all(call.catch, open).catch(() => undefined);
    if ("save_run" in call) return saved.set(call.save_run, open);
    if ("save_traceparent" in call) return saved.set(call.save_traceparent, rt.traceparent());
    if ("as_if_called" in call) return alone(() => all(call.as_if_called, undefined));
    throw new Error(`no such call: ${JSON.stringify(call)}`);
  }
}

/** Checks events against those of a case. */
export function compare(events, wanted) {
  const labels = new Map();
  const ids = new Map();
  let last = "";
  const shown = events.map((event) => {
    const { time, ...rest } = event;
    assert.ok(time >= last, `times decrease: ${last}, ${time}`);
    last = time;
    return rest;
  });
  assert.equal(shown.length, wanted.length, `events: ${JSON.stringify(shown, null, 1)}`);
  shown.forEach((event, at) => same(event, wanted[at], `event ${at + 1}`, ""));

  function same(found, want, path, field) {
    if (want === "$time") return assert.match(found, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, path);
    if (typeof want === "string" && want.startsWith("$")) {
      assert.match(found, /^[0-9a-f-]{36}$/, path);
      assert.equal(labels.get(want) ?? found, found, `${path}: ${want} is two ids`);
      assert.equal(ids.get(found) ?? want, want, `${path}: ${found} has two labels`);
      labels.set(want, found);
      ids.set(found, want);
      return undefined;
    }
    const held = field.endsWith("_json") && typeof found === "string" ? JSON.parse(found) : found;
    if (typeof want !== "object" || want === null) return assert.deepEqual(held, want, path);
    assert.deepEqual(Object.keys(Object(held)).sort(), Object.keys(want).sort(), `${path}: ${JSON.stringify(held)}`);
    for (const key of Object.keys(want)) same(held[key], want[key], `${path}.${key}`, Array.isArray(want) ? "" : key);
    return undefined;
  }
}
