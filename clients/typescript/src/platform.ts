/** What differs between runtimes. This file works everywhere; `node.ts` adds what Node, Deno and Bun have. */

import { timerMs } from "./numbers.js";

/** Carries a value along asynchronous calls: what of `AsyncLocalStorage` is used here. */
export interface Carrier<T> {
  getStore(): T | undefined;
  run<R>(store: T, body: () => R): R;
}

/** A folder for events that the daemon could not take. */
export interface DiskSpool {
  /** Keeps lines, durably. Throws if it cannot. */
  keep(lines: readonly string[]): Promise<void>;
  /** The same at the end of the process, when nothing can wait any more. */
  keepNow(lines: readonly string[]): void;
  /** How many lines of this process are still there. */
  kept(): number;
  /** The oldest file that nobody else sends. */
  claim(): Promise<ClaimedFiles | undefined>;
}

/** A file of a spool that this process sends. */
export interface ClaimedFiles {
  lines: string[];
  /** All lines are settled: deletes the files. */
  done(): void;
  /** They are not: leaves the files to somebody else. */
  release(): void;
}

/** A runtime. */
export interface Platform {
  /** A carrier, or `undefined` where a run must be passed explicitly. */
  carrier<T>(): Carrier<T> | undefined;
  environment(name: string): string | undefined;
  /** Whether timers work outside requests. Where they do not, only `flush` sends. */
  timers: boolean;
  openSpool(folder: string, maxBytes: number): DiskSpool | undefined;
  /** Whether nothing but one request keeps the process alive. Absent where nobody can tell. */
  isIdle?: (() => boolean) | undefined;
  /** Calls back when the process is about to end, until the returned function is called. */
  onExit(hooks: ExitHooks): () => void;
}

/** What to do when a process ends. */
export interface ExitHooks {
  /** There is time: sends what is left, for a bounded time. */
  drain(): Promise<unknown>;
  /** There is none: keeps what is left, or says how much is lost. */
  last(): void;
}

interface Globals {
  AsyncLocalStorage?: new () => Carrier<unknown>;
  process?: {
    env?: Record<string, string | undefined>;
    getBuiltinModule?: (name: string) => { AsyncLocalStorage?: new () => Carrier<unknown> } | undefined;
  };
  navigator?: { userAgent?: string };
}

const globals = globalThis as unknown as Globals;

const everywhere: Platform = {
  carrier<T>(): Carrier<T> | undefined {
    try {
      const Storage =
        globals.AsyncLocalStorage ?? globals.process?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage;
      return Storage && (new Storage() as Carrier<T>);
    } catch {
      return undefined;
    }
  },
  environment(name) {
    try {
      return globals.process?.env?.[name];
    } catch {
      return undefined;
    }
  },
  timers: globals.navigator?.userAgent !== "Cloudflare-Workers",
  openSpool: () => undefined,
  onExit: () => () => undefined,
};

let current = everywhere;

export function platform(): Platform {
  return current;
}

export function setPlatform(found: Partial<Platform>): void {
  current = { ...everywhere, ...found };
}

/** A timer that does not keep a process alive. */
export function quietTimer(callback: () => void, ms: number): ReturnType<typeof setTimeout> {
  return quiet(setTimeout(callback, timerMs(ms)));
}

/** The same for a timer that was set already. */
export function quiet<T>(timer: T): T {
  (timer as { unref?: () => void }).unref?.();
  return timer;
}
