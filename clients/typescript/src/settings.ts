/** Settings, from code and from the environment. */

import { platform } from "./platform.js";

/** What a payload is, for a mask. */
export type MaskedField =
  | "input"
  | "output"
  | "error"
  | "content"
  | "thinking"
  | "tool_calls"
  | "metadata"
  | "description"
  | "data"
  | "comment";

/** Replaces what must not leave the process. It gets a copy of the value, and returns what may leave. */
export type Mask = (value: unknown, field: MaskedField) => unknown;

/** Options of `configure`. */
export interface Options {
  /** The daemon's HTTP address. Default: `RUNTRACED_ENDPOINT`, else `http://127.0.0.1:4318`. */
  endpoint?: string;
  /** The API key. Default: `RUNTRACED_KEY`. */
  key?: string;
  /** A folder for events that the daemon could not take. Default: `RUNTRACED_SPOOL`; without it, none. Node, Deno and Bun only. */
  spool?: string;
  /** Send nothing. Default: whether `RUNTRACED_DISABLED` is `1`, `true`, `yes` or `on`. */
  disabled?: boolean;
  /** Runs before anything is queued. If it throws, the value is replaced as a whole. */
  mask?: Mask;
  /** The share of runs that is sent, from 0 to 1. Default: 1. */
  sample?: number;
  /** Send runs that fail, and the runs around them, also if sampling left them out. Default: true. */
  keepFailures?: boolean;
  /** The customer that the key belongs to, if it is a tenant's. Sessions with equal names of two customers differ. */
  customer?: string;
  /** The most that may wait for the daemon, in bytes. Default: 16 MiB. */
  maxQueueBytes?: number;
  /** The most that a spool may hold, in bytes. Default: 256 MiB. */
  maxSpoolBytes?: number;
  /** The longest time that the end of the process waits for the daemon, in milliseconds. Default: 5000. */
  exitTimeout?: number;
  /** The longest time that a request may take, in milliseconds. Default: 35000, because the daemon answers within 30 seconds; on Cloudflare 10000. */
  requestTimeout?: number;
  /** Hears of losses and errors. Default: `console.warn`, once a minute for each kind. */
  onProblem?: (problem: string) => void;
  /** Another `fetch`, for tests and proxies. */
  fetch?: typeof fetch;
}

export interface Settings {
  endpoint: string;
  key: string | undefined;
  spool: string | undefined;
  disabled: boolean;
  mask: Mask | undefined;
  sample: number;
  keepFailures: boolean;
  customer: string | undefined;
  maxQueueBytes: number;
  maxSpoolBytes: number;
  exitTimeout: number;
  requestTimeout: number;
  onProblem: ((problem: string) => void) | undefined;
  fetch: typeof fetch;
}

/** Options completed with the environment and the defaults. */
export function settingsOf(options: Options): Settings {
  const environment = (name: string): string | undefined => platform().environment(name) || undefined;
  const disabled = (environment("RUNTRACED_DISABLED") ?? "").trim().toLowerCase();
  return {
    endpoint: (options.endpoint ?? environment("RUNTRACED_ENDPOINT") ?? "http://127.0.0.1:4318").replace(/\/+$/, ""),
    key: options.key ?? environment("RUNTRACED_KEY"),
    spool: options.spool ?? environment("RUNTRACED_SPOOL"),
    disabled: options.disabled ?? ["1", "true", "yes", "on"].includes(disabled),
    mask: options.mask,
    sample: options.sample ?? 1,
    keepFailures: options.keepFailures ?? true,
    customer: options.customer,
    maxQueueBytes: options.maxQueueBytes ?? 16 * 1024 * 1024,
    maxSpoolBytes: options.maxSpoolBytes ?? 256 * 1024 * 1024,
    exitTimeout: options.exitTimeout ?? 5000,
    requestTimeout: options.requestTimeout ?? (platform().timers ? 35_000 : 10_000),
    onProblem: options.onProblem,
    // Not detached: some runtimes want `fetch` called on the global object.
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
  };
}
