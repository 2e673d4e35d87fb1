// A worker of the fault tests (tests/suite/clients/faults.rs): records until its stdin ends.

import { setTimeout as sleep } from "node:timers/promises";

import * as rt from "../../dist/esm/node.js";

let ended = false;
process.stdin.on("end", () => (ended = true)).resume();

let number = 0;
while (!ended) {
  for (let at = 0; at < 10; at += 1) {
    await rt.run(process.env.RUNTRACED_TEST_WORKER, { input: String(number) }, async (run) => {
      await rt.step("outer", { input: { number } }, async () => rt.step("inner", { kind: "tool" }, async () => undefined));
      run.output = String(number);
    });
    number += 1;
  }
  if ((await rt.flush(500)) === 0) console.log(`settled ${number - 1}`);
}
await rt.flush(Number(process.env.RUNTRACED_TEST_FLUSH_MS ?? 60_000));
// Files of the spool are sent by themselves; here they are waited for.
while (rt.stats().spooled > 0) await sleep(50);
const { settled, waiting, droppedEvents, refused } = rt.stats();
console.log(JSON.stringify({ runs: number, settled, waiting, dropped_events: droppedEvents, refused }));
