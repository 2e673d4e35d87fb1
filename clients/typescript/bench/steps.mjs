// What a step costs the agent: time in its own calls, all CPU of the process, and memory.
// node bench/steps.mjs [steps] — prints JSON. The daemon is a server in another process.

import { fork } from "node:child_process";
import http from "node:http";

import * as rt from "../dist/esm/node.js";

const steps = Number(process.argv[2] ?? 100_000);
const PAYLOAD = { question: "How is Acme doing?", documents: Array.from({ length: 8 }, (_, at) => ({ id: at, text: "x".repeat(90) })) };

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
  rt.configure({ endpoint: `http://127.0.0.1:${port}`, maxQueueBytes: 256 * 1024 * 1024 });
  const run = rt.startRun("bench");
  burst(run, 5000);
  await rt.flush(60_000);

  const begun = { cpu: process.cpuUsage(), at: performance.now() };
  let inCalls = 0;
  for (let done = 0; done < steps; done += 1000) {
    const before = performance.now();
    burst(run, 1000);
    inCalls += performance.now() - before;
    await new Promise((next) => setImmediate(next));
  }
  const left = await rt.flush(120_000);
  const seconds = (performance.now() - begun.at) / 1000;
  const { user, system } = process.cpuUsage(begun.cpu);
  server.send("count");
  const arrived = await new Promise((done) => server.once("message", done));
  server.kill();

  rt.configure({ endpoint: "http://127.0.0.1:1", onProblem: () => undefined });
  const away = rt.startRun("away");
  globalThis.gc?.();
  const before = process.memoryUsage();
  for (let done = 0; done < 1_000_000; done += 1000) {
    burst(away, 1000);
    await new Promise((next) => setImmediate(next));
  }
  globalThis.gc?.();
  const after = process.memoryUsage();
  const mib = (bytes) => Math.round(bytes / 1024 / 1024);
  console.log(JSON.stringify({
    payload_bytes: JSON.stringify(PAYLOAD).length,
    steps,
    in_calls_us_per_step: Number(((inCalls * 1000) / steps).toFixed(2)),
    cpu_us_per_step: Number(((user + system) / steps).toFixed(2)),
    steps_per_second: Math.round(steps / seconds),
    left,
    events_at_the_server: arrived,
    away_million_steps: { heap_mib: mib(after.heapUsed - before.heapUsed), rss_mib: mib(after.rss), ...rt.stats() },
  }, null, 2));
  process.exit(0);
}

function burst(run, count) {
  for (let at = 0; at < count; at += 1) {
    run.step("look up", { kind: "tool", input: PAYLOAD }, (step) => { step.output = "found"; });
  }
}
