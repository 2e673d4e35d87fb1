/** The entry for Node, Deno and Bun: the library, with asynchronous context, a spool, and an orderly exit. */

import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";

import { openDiskSpool } from "./disk_spool.js";
import { setPlatform, type Carrier, type ExitHooks } from "./platform.js";

setPlatform({
  carrier: <T>(): Carrier<T> => new AsyncLocalStorage<T>(),
  environment: (name) => quietly(() => process.env[name]),
  openSpool: openDiskSpool,
  isIdle: typeof process.getActiveResourcesInfo === "function" ? isIdle : undefined,
  onExit,
});

// Pipes and terminals are the output of the process, which keeps it alive only while something is written.
const OF_A_REQUEST = new Set(["TCPSocketWrap", "TLSWrap", "ConnectWrap", "TCPConnectWrap", "GetAddrInfoReqWrap"]);
const OUTPUT = new Set(["PipeWrap", "TTYWrap"]);

function isIdle(): boolean {
  const alive = process.getActiveResourcesInfo().filter((name) => !OUTPUT.has(name));
  return alive.length <= 2 && alive.every((name) => OF_A_REQUEST.has(name)) && alive.filter((name) => name === "TCPSocketWrap").length <= 1;
}

// One set of handlers for all copies of this library in the process: two handlers of a signal would wait for each other.
const KEY = Symbol.for("runtraced.exit");
const global = globalThis as unknown as Record<symbol, Ending | undefined>;

interface Ending {
  hooks: Set<ExitHooks>;
  isExiting: boolean;
  isHandled: boolean;
}

const ending = (global[KEY] ??= watched());

function watched(): Ending {
  const made = { hooks: new Set<ExitHooks>(), isExiting: false, isHandled: false };
  quietly(() => process.on("exit", () => (made.isExiting = true)));
  return made;
}

/** Calls back at the end of the process, until the function that it returns is called. */
function onExit(hooks: ExitHooks): () => void {
  ending.hooks.add(hooks);
  // A handler of `exit` may be the first to record.
  if (ending.isExiting) hooks.last();
  else if (!ending.isHandled) handleEnd();
  return () => void ending.hooks.delete(hooks);
}

async function drain(): Promise<void> {
  await Promise.all([...ending.hooks].map((hooks) => hooks.drain()));
}

function last(): void {
  for (const hooks of ending.hooks) quietly(() => hooks.last());
}

/** The end of a process: by itself, by `process.exit`, or by a signal that nobody else handles. */
function handleEnd(): void {
  ending.isHandled = true;
  process.on("beforeExit", () => void drain());
  process.on("exit", last);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const handle = (): void => {
      // With another handler, the program decides when to end, and `exit` follows.
      if (process.listenerCount(signal) > 1 + politeListeners()) return;
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

/**
 * How many handlers of each signal end the process only when nobody else is left: those of the package `signal-exit`,
 * which many command line tools contain. Each side would wait for the other, and the signal would do nothing.
 */
function politeListeners(): number {
  const version3 = (process as unknown as { __signal_exit_emitter__?: unknown }).__signal_exit_emitter__;
  const version4 = global[Symbol.for("signal-exit emitter")] as unknown;
  const counts = [version3, version4].map((emitter) => Number((emitter as { count?: unknown } | undefined)?.count) || 0);
  return counts.reduce((sum, count) => sum + count, 0);
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
