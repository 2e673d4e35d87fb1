/** Records what an agent does, and sends it to runtraced. The surface of the library. */

import { Approval, requestApproval, type ApprovalOptions } from "./approval.js";
import { Client, type Stats } from "./client.js";
import { during } from "./during.js";
import { wrapClient, type WrapOptions } from "./models/clients.js";
import { vercelMiddleware, type Middleware } from "./models/vercel.js";
import { recordScoreOf, type MessageOptions, type Role, type ScoreOf, type ScoreOptions, type TokenCounts } from "./records.js";
import { guarded } from "./faults.js";
import type { RunOptions } from "./run_record.js";
import { openScope, optionsAndBody, Run, Step, type Rest, type Scope } from "./scopes.js";
import type { Options } from "./settings.js";
import { millisOf } from "./numbers.js";
import { client as made, flushAll, madeClient, setClient } from "./shared.js";
import type { StepOptions } from "./step.js";
import { tracedAt, type TracedOptions } from "./traced.js";

export type { ApprovalOptions, Decision } from "./approval.js";
export type { WrapOptions } from "./models/clients.js";
export type { Middleware } from "./models/vercel.js";
export type { HeadersLike } from "./trace_context.js";
export type { Stats } from "./client.js";
export type { Mask, MaskedField, Options } from "./settings.js";
export type { MessageOptions, Role, ScoreOf, ScoreOptions, TokenCounts } from "./records.js";
export type { RunOptions } from "./run_record.js";
export type { StepKind, StepOptions } from "./step.js";
export type { TracedOptions } from "./traced.js";
export type { Approval } from "./approval.js";
export type { Run, Scope, Step } from "./scopes.js";

/** What records nothing, because it is outside every run. */
const NOWHERE = { state: undefined, stepId: undefined };

/**
 * Changes settings of this process; what is not given stays as it is. Without options, all are the defaults again.
 * What was recorded before goes the way that was set before.
 */
export function configure(options?: Options): void {
  setClient(new Client(options === undefined ? {} : { ...madeClient()?.options, ...options }));
}

/** A run of an agent, for as long as the function, or its promise, takes. Within a run it is a sub-agent's. */
export function run<T>(agent: string, body: (run: Run) => T): T;
export function run<T>(agent: string, options: RunOptions, body: (run: Run) => T): T;
export function run<T>(agent: string, ...rest: Rest<RunOptions, Run, T>): T {
  const [options, body] = optionsAndBody(rest);
  return during(startRun(agent, options), body);
}

/** Starts a run that ends with `end` or `fail`. Pass it on: calls elsewhere do not know it. */
export function startRun(agent: string, options: RunOptions = {}): Run {
  return new Run(openScope(), agent, options);
}

/** A step of the run around the caller, for as long as the function, or its promise, takes. */
export function step<T>(name: string, body: (step: Step) => T): T;
export function step<T>(name: string, options: StepOptions, body: (step: Step) => T): T;
export function step<T>(name: string, ...rest: Rest<StepOptions, Step, T>): T {
  const [options, body] = optionsAndBody(rest);
  return during(startStep(name, options), body);
}

/** Starts a step that ends with `end` or `fail`. */
export function startStep(name: string, options: StepOptions = {}): Step {
  return new Step(openScope(), name, options);
}

type AnyFunction = (...args: never[]) => unknown;

/**
 * A function whose calls are steps: `traced(fn)`, `traced(fn, options)`, or as a decorator of methods, `@traced`
 * and `@traced(options)`. Works for functions, async functions, generators and async generators.
 */
export function traced<F extends AnyFunction>(fn: F, options?: TracedOptions | ClassMethodDecoratorContext): F;
export function traced(options: TracedOptions): <F extends AnyFunction>(fn: F, context?: ClassMethodDecoratorContext) => F;
export function traced(first: AnyFunction | TracedOptions, options: TracedOptions | ClassMethodDecoratorContext = {}): unknown {
  if (typeof first !== "function") return (fn: AnyFunction) => tracedAt(openScope, fn, first);
  return tracedAt(openScope, first, "addInitializer" in options ? {} : options);
}

/** Records a message in the run around the caller. */
export function message(role: Role, content: unknown, options?: MessageOptions): void {
  openScope()?.message(role, content, options);
}

/** Records used tokens. */
export function tokens(counts: TokenCounts): void {
  openScope()?.tokens(counts);
}

/** Records an assessment of the step or run around the caller, or of another one that may have ended, by its ids. */
export function score(name: string, score: number | (ScoreOptions & ScoreOf)): void {
  const { run, step } = typeof score === "number" ? {} : (score ?? {});
  if (run === undefined || run === null) openScope()?.score(name, score);
  else guarded(() => recordScoreOf(made(), run, step, name, score as ScoreOptions));
}

/** Asks a person for approval. Wait for the decision with `wait`. */
export function approval(description: string, data?: unknown, options?: ApprovalOptions): Approval {
  return openScope()?.approval(description, data, options) ?? requestApproval(NOWHERE, description, data, {});
}

/**
 * Records the calls of a client of OpenAI or Anthropic as steps, with messages and tokens. Changes the client
 * itself, and returns it.
 */
export function wrap<C extends object>(client: C, options: WrapOptions = {}): C {
  return wrapClient(client, options ?? {}, openScope, (unknown) => {
    guarded(() => made().problems.tell("wrap", `wrap cannot record the calls of ${typeNameOf(unknown)}`));
  });
}

function typeNameOf(value: unknown): string {
  try {
    return (value as object).constructor.name;
  } catch {
    return String(typeof value);
  }
}

/**
 * A middleware for the Vercel AI SDK: `wrapLanguageModel({ model, middleware: middleware() })`. `parent` is where
 * calls are recorded in runtimes that carry no context along.
 */
export function middleware(parent?: Scope): Middleware {
  return vercelMiddleware(parent === undefined ? openScope : () => parent);
}

/** The W3C `traceparent` for a request that the caller makes; `undefined` outside a run. */
export function traceparent(): string | undefined {
  return openScope()?.traceparent();
}

/** The innermost run or step around the caller. */
export function current(): Scope | undefined {
  return openScope();
}

/** Sends what waits, for at most this time in milliseconds. Returns how many events are not settled. */
export async function flush(ms = 10_000): Promise<number> {
  return flushAll(millisOf(ms, 10_000));
}

/** What became of the events so far. */
export function stats(): Stats {
  return made().stats();
}
