/** Runs and steps as a program sees them. */

import { during } from "./during.js";
import type { Place, RunState } from "./place.js";
import { guarded } from "./faults.js";
import { Recorder } from "./recorder.js";
import { RunRecord, type RunOptions } from "./run_record.js";
import { around } from "./shared.js";
import { StepRecord, type StepOptions } from "./step.js";
import { tracedAt, type TracedOptions } from "./traced.js";

/** What records nothing, because it is outside every run. */
const NOWHERE: Place = { state: undefined, stepId: undefined };

/** Something that is open: a run or a step. Its methods record within it. */
export abstract class Scope extends Recorder {
  /** The answer or result. Any value; it is read when the scope ends. */
  output: unknown;
  /** What went wrong: an error or a text. Then the scope ends as failed. */
  error: unknown;
  /** @internal */
  ended = false;
  protected added: Record<string, unknown> | undefined;

  protected constructor(
    /** @internal What was open around this one when it started. */
    readonly around: Scope | undefined,
  ) {
    super();
  }

  protected abstract close(): void;

  /** Ends the scope, the first time that it is called. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    guarded(() => this.close());
  }

  /** What became known after the start. An assignment adds to what is there. */
  get metadata(): Record<string, unknown> {
    return (this.added ??= {});
  }
  set metadata(more: Record<string, unknown>) {
    guarded(() => void (this.added = { ...this.added, ...more }));
  }

  /** Ends the scope as failed. */
  fail(error: unknown): void {
    if (!this.ended) this.error = error ?? "undefined";
    this.end();
  }

  /** Starts a step within this one. End it with `end` or `fail`. */
  startStep(name: string, options: StepOptions = {}): Step {
    return new Step(this, name, options);
  }

  /** Starts a run of a sub-agent. End it with `end` or `fail`. */
  startRun(agent: string, options: RunOptions = {}): Run {
    return new Run(this, agent, options);
  }

  step<T>(name: string, body: (step: Step) => T): T;
  step<T>(name: string, options: StepOptions, body: (step: Step) => T): T;
  step<T>(name: string, ...rest: Rest<StepOptions, Step, T>): T {
    const [options, body] = optionsAndBody(rest);
    return during(this.startStep(name, options), body);
  }

  run<T>(agent: string, body: (run: Run) => T): T;
  run<T>(agent: string, options: RunOptions, body: (run: Run) => T): T;
  run<T>(agent: string, ...rest: Rest<RunOptions, Run, T>): T {
    const [options, body] = optionsAndBody(rest);
    return during(this.startRun(agent, options), body);
  }

  /** A function whose calls are steps within this scope. */
  traced<F extends (...args: never[]) => unknown>(fn: F, options: TracedOptions = {}): F {
    return tracedAt(() => this, fn, options);
  }
}

/** A step. */
export class Step extends Scope {
  private readonly record: StepRecord;
  private readonly options: StepOptions;
  private lateModel: string | undefined;

  /** @internal */
  constructor(
    around: Scope | undefined,
    name: string,
    given: StepOptions,
  ) {
    super(around);
    this.options = given ?? {};
    this.record = new StepRecord(around ?? NOWHERE, name, this.options);
  }

  get id(): string {
    return this.record.stepId;
  }
  get state(): RunState | undefined {
    return this.record.state;
  }
  get stepId(): string | undefined {
    return this.record.stepId;
  }

  protected place(): Place {
    return this;
  }

  /** The model that was called. */
  get model(): string | undefined {
    return this.lateModel ?? this.options.model;
  }
  set model(model: string | undefined) {
    this.lateModel = model;
  }

  protected close(): void {
    const news = this.added !== undefined || (this.lateModel !== undefined && this.lateModel !== this.options.model);
    this.record.end(this.output, this.error, this.model, this.added, news);
  }
}

/** A run. */
export class Run extends Scope {
  private readonly record: RunRecord;

  /** @internal */
  constructor(around: Scope | undefined, agent: string, options: RunOptions) {
    super(around);
    this.record = new RunRecord(around, agent, options ?? {});
  }

  get id(): string {
    return this.record.id;
  }
  get state(): RunState | undefined {
    return this.record.state;
  }
  get stepId(): string | undefined {
    return this.record.stepId;
  }

  /** The innermost open step of this run around the caller; after its end, the run itself. */
  protected place(): Place {
    const open = this.ended ? undefined : openScope();
    return open !== undefined && open.state === this.state ? open : this;
  }

  protected close(): void {
    this.record.end(this.output, this.error, this.added);
  }
}

export type Rest<O, S, T> = [(scope: S) => T] | [O, (scope: S) => T];

export function optionsAndBody<O extends object, S, T>(rest: Rest<O, S, T>): [O, (scope: S) => T] {
  return rest.length === 1 ? [{} as O, rest[0]] : [rest[0] ?? ({} as O), rest[1]];
}

/** The innermost run or step around the caller that has not ended. If all have ended, the innermost. */
export function openScope(): Scope | undefined {
  const innermost = around<Scope>();
  let scope = innermost;
  while (scope?.ended) scope = scope.around;
  return scope ?? innermost;
}
