// Makes the calls of all conformance cases, for the daemon that RUNTRACED_ENDPOINT names.

import { AsyncResource } from "node:async_hooks";

import * as rt from "../../dist/esm/node.js";
import { cases, optionsOf, play } from "../support/cases.mjs";

const outside = new AsyncResource("outside");
for (const conformance of cases()) {
  rt.configure();
  rt.configure(optionsOf(conformance));
  await play(rt, conformance, (body) => outside.runInAsyncScope(body));
  const left = await rt.flush(30_000);
  if (left !== 0) throw new Error(`${conformance.name}: ${left} events are not settled`);
  if (rt.stats().refused !== 0) throw new Error(`${conformance.name}: ${rt.stats().refused} events were refused`);
}
