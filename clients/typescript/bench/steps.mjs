// What a step costs the agent: time in its own calls, all CPU of the process, and memory.
// node bench/steps.mjs [steps] — prints JSON. The daemon is a server in another process.

import { fork } from "node:child_process";
import http from "node:http";

const begun = performance.now();
const rt = await import("../dist/esm/node.js");
const imported = performance.now() - begun;

const steps = Number(process.argv[2] ?? 100_000);
const INPUTS = {
  text: "How is Acme doing? ".repeat(53),
  "text with line breaks and quotes": 'Acme uses 412 of 600 seats, which is more than last month, and has one open ticket.\nDana said "call me".\n'.repeat(10),
  object: { question: "How is Acme doing?", documents: Array.from({ length: 8 }, (_, at) => ({ id: at, text: "x".repeat(90) })) },
};

if (process.argv[2] === "serve") {
  let events = 0;
  http.createServer((request, response) => {
    request.on("data", (part) => { for (const byte of part) if (byte === 10) events += 1; });
    request.on("end", () => {
      events += 1;
      response.end(JSON.stringify({ accepted: 0, duplicate: 0, refused: [], durability: "COMMITTED" }));
    });
  }).listen(0, "127.0.0.1", function () { process.send(this.address().port); });
  process.on("message", () => process.send(events));
} else {
  await measure();
}

async function measure() {
  const server = fork(new URL(import.meta.url), ["serve"]);
  const port = await new Promise((done) => server.once("message", done));
  const figures = { import_ms: Number(imported.toFixed(1)) };
  for (const [name, input] of Object.entries(INPUTS)) figures[name] = await sending(input, `http://127.0.0.1:${port}`);
  server.send("count");
  figures.events_at_the_server = await new Promise((done) => server.once("message", done));
  server.kill();
  figures.a_million_steps_while_the_daemon_is_away = await away();
  console.log(JSON.stringify(figures, null, 2));
  process.exit(0);
}

/** CPU, because time also counts what other programs do. */
function cpu(since) {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}

function next() {
  return new Promise((done) => setImmediate(done));
}

async function sending(input, endpoint) {
  rt.configure({ endpoint });
  const run = rt.startRun("bench");
  burst(run, input, 5000);
  await rt.flush(60_000);
  const begun = process.cpuUsage();
  const at = performance.now();
  let inCalls = 0;
  for (let done = 0; done < steps; done += 100) {
    const before = process.cpuUsage();
    burst(run, input, 100);
    inCalls += cpu(before);
    await next();
    // An agent waits for its model now and then.
    if (done % 2000 === 0) await rt.flush(60_000);
  }
  const left = await rt.flush(120_000);
  const { droppedEvents, droppedPayloads } = rt.stats();
  return {
    input_bytes: JSON.stringify(input).length,
    cpu_in_calls_us_per_step: Number((inCalls / steps).toFixed(2)),
    cpu_of_the_process_us_per_step: Number((cpu(begun) / steps).toFixed(2)),
    steps_per_second: Math.round((steps * 1000) / (performance.now() - at)),
    left,
    dropped: droppedEvents + droppedPayloads,
  };
}

async function away() {
  rt.configure({ endpoint: "http://127.0.0.1:1", onProblem: () => undefined });
  const run = rt.startRun("away");
  globalThis.gc?.();
  const before = process.memoryUsage();
  for (let done = 0; done < 1_000_000; done += 1000) {
    burst(run, INPUTS.object, 1000);
    await next();
  }
  globalThis.gc?.();
  const after = process.memoryUsage();
  const mib = (bytes) => Math.round(bytes / 1024 / 1024);
  return { heap_mib: mib(after.heapUsed - before.heapUsed), rss_mib: mib(after.rss), ...rt.stats() };
}

function burst(run, input, count) {
  for (let at = 0; at < count; at += 1) {
    run.step("look up", { kind: "tool", input }, (step) => { step.output = "found"; });
  }
}
