// The cases that all clients share: the same calls make the same events.

import { AsyncResource } from "node:async_hooks";
import { test } from "node:test";

import * as rt from "../dist/esm/node.js";
import { cases, compare, optionsOf, play } from "./support/cases.mjs";
import { Sink } from "./support/sink.mjs";

// Made while nothing is open, so nothing is open in it.
const outside = new AsyncResource("outside");

for (const conformance of cases()) {
  test(`${conformance.name}: ${conformance.about}`, async () => {
    const sink = await Sink.start();
    rt.configure();
    rt.configure({ endpoint: sink.url, ...optionsOf(conformance) });
    await play(rt, conformance, (body) => outside.runInAsyncScope(body));
    const left = await rt.flush(5000);
    if (left !== 0) throw new Error(`${left} events are not settled`);
    compare(sink.events, conformance.events);
    await sink.close();
  });
}
