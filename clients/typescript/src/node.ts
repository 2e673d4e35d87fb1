/** The entry for Node, Deno and Bun: the library, with asynchronous context, a spool, and an orderly exit. */

import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";

import { openDiskSpool } from "./disk_spool.js";
import { setPlatform, type Carrier, type ExitHooks } from "./platform.js";

setPlatform({
  carrier: <T>(): Carrier<T> => new AsyncLocalStorage<T>(),
  environment: (name) => quietly(() => process.env[name]),
  openSpool: openDiskSpool,
  onExit,
});

const ending: ExitHooks[] = [];
let isExiting = false;
quietly(() => process.on("exit", () => (isExiting = true)));

/** One set of handlers, however many clients were configured. */
function onExit(hooks: ExitHooks): void {
  ending.push(hooks);
  // A handler of `exit` may be the first to record.
  if (isExiting) hooks.last();
  else if (ending.length === 1) handleEnd();
}

async function drain(): Promise<void> {
  await Promise.all(ending.map((hooks) => hooks.drain()));
}

function last(): void {
  for (const hooks of ending) hooks.last();
}

/** The end of a process: by itself, by `process.exit`, or by a signal that nobody else handles. */
function handleEnd(): void {
  process.on("beforeExit", () => void drain());
  process.on("exit", last);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const handle = (): void => {
      // With another handler, the program decides when to end, and `exit` follows.
      if (process.listenerCount(signal) > 1) return;
      const end = (): void => {
        last();
        process.removeListener(signal, handle);
        process.kill(process.pid, signal);
      };
      drain().then(end, end);
    };
    quietly(() => process.on(signal, handle));
  }
}

/** Deno asks for permissions, and some systems lack signals. */
function quietly<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch {
    return undefined;
  }
}

export * from "./index.js";
