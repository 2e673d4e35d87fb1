/** Settings, from code and from the environment. */

import { isIdText } from "./ids.js";
import { numberOf } from "./numbers.js";
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
  /** A UUID: sends on behalf of this customer. Sessions of two customers with equal names differ. */
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

const A_KEY = "a word of printable ASCII, as keys are: requests go without it";

/**
 * Options completed with the environment and the defaults. An option that is of no use is replaced by its default, and
 * `wrong` says so: a program must not end because of a setting of its recorder.
 */
export function settingsOf(options: Options, wrong: string[]): Settings {
  const given = new Given(options, wrong);
  const environment = (name: string): string | undefined => platform().environment(name)?.trim() || undefined;
  return {
    endpoint: endpointOf(given.text("endpoint") ?? environment("RUNTRACED_ENDPOINT") ?? "http://127.0.0.1:4318", wrong),
    key: given.option("key", A_KEY, keyOf) ?? new Given({ key: environment("RUNTRACED_KEY") }, wrong).option("key", A_KEY, keyOf),
    spool: given.text("spool") ?? environment("RUNTRACED_SPOOL"),
    disabled: given.flag("disabled") ?? isYes(environment("RUNTRACED_DISABLED")),
    // What shall be masked must not leave the process because the mask is none.
    mask: given.option("mask", "a function: nothing is let through", asFunction<Mask>) ?? (given.has("mask") ? nothing : undefined),
    sample: given.number("sample", 0) ?? 1,
    keepFailures: given.flag("keepFailures") ?? true,
    // The daemon refuses whole requests of a customer that is no id.
    customer: given.option("customer", "a UUID", (value) => (isIdText(value) ? value : undefined)),
    maxQueueBytes: given.number("maxQueueBytes", 0) ?? 16 * 1024 * 1024,
    maxSpoolBytes: given.number("maxSpoolBytes", 0) ?? 256 * 1024 * 1024,
    exitTimeout: given.number("exitTimeout", 0) ?? 5000,
    requestTimeout: given.number("requestTimeout", 1) ?? (platform().timers ? 35_000 : 10_000),
    onProblem: given.option("onProblem", "a function", asFunction<(problem: string) => void>),
    // Not detached: some runtimes want `fetch` called on the global object.
    fetch: given.option("fetch", "a function", asFunction<typeof fetch>) ?? ((input, init) => fetch(input, init)),
  };
}

/** Reads options of any type. */
class Given {
  constructor(
    private readonly options: { [name in keyof Options]?: unknown },
    private readonly wrong: string[],
  ) {}

  has(name: keyof Options): boolean {
    return this.options[name] !== undefined && this.options[name] !== null;
  }

  /** An option as it is read; `undefined` if it is absent, or not what it should be. */
  option<T>(name: keyof Options, what: string, read: (value: unknown) => T | undefined): T | undefined {
    if (!this.has(name)) return undefined;
    const value = read(this.options[name]);
    if (value === undefined) this.wrong.push(`the setting ${name} is not ${what}`);
    return value;
  }

  text(name: keyof Options): string | undefined {
    return this.option(name, "a text", (value) => {
      if (value instanceof URL) return value.href;
      return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
    });
  }

  number(name: keyof Options, least: number): number | undefined {
    return this.option(name, `a number of at least ${least}`, (value) => {
      const number = numberOf(value);
      return number !== undefined && number >= least ? number : undefined;
    });
  }

  flag(name: keyof Options): boolean | undefined {
    return this.option(name, "true or false", (value) => {
      if (typeof value === "boolean") return value;
      return typeof value === "string" ? isYes(value) : undefined;
    });
  }
}

function isYes(text: string | undefined): boolean {
  return ["1", "true", "yes", "on"].includes((text ?? "").trim().toLowerCase());
}

const CREDENTIALS = /^(\w+:\/\/)[^/]*@/;

/** `fetch` sends nothing to an address with a password, and shows it in the error. */
function endpointOf(text: string, wrong: string[]): string {
  const url = (text.includes("//") ? text : `http://${text}`).replace(/\/+$/, "");
  if (CREDENTIALS.test(url)) wrong.push("the setting endpoint holds a name or a password: it is left out, as only keys are sent");
  return url.replace(CREDENTIALS, "$1");
}

/** `fetch` would refuse a key with other characters, and show it in the error. */
function keyOf(value: unknown): string | undefined {
  const key = typeof value === "string" ? value.trim() : "";
  return /^[!-~]+$/.test(key) ? key : undefined;
}

function asFunction<F extends (...args: never[]) => unknown>(value: unknown): F | undefined {
  return typeof value === "function" ? (value as F) : undefined;
}

function nothing(): never {
  throw new TypeError("the mask is no function");
}
