/** Functions whose calls are steps. */

import { settling, type Closable } from "./during.js";
import { follow, isGenerator } from "./generators.js";
import { within } from "./shared.js";
import type { StepOptions } from "./step.js";

export interface TracedOptions extends Omit<StepOptions, "input"> {
  /** Default: the name of the function. */
  name?: string | undefined;
  /** Whether the arguments are the input of the step. Default: true. One argument is the input itself. */
  input?: boolean | undefined;
  /** Whether the result is its output. Default: true. Of a generator it is what it yields. */
  output?: boolean | undefined;
}

/** A step that a call opened. */
export interface CallStep extends Closable {
  /** What is open while the function runs. */
  readonly step: unknown;
  /** Whether results are recorded. */
  readonly wantsResult: boolean;
  /** Takes a result, if the step has no output yet. */
  result(value: unknown): void;
}

/** Where the step of a call belongs; `undefined` outside a run. */
export type CallPlace = () => { startStep(name: string, options: StepOptions): Closable & { output: unknown } } | undefined;

type AnyFunction = (...args: never[]) => unknown;

// What a function has for itself.
const OF_A_FUNCTION = new Set<string | symbol>(["prototype", "arguments", "caller"]);
const GENERATORS = new Set(["GeneratorFunction", "AsyncGeneratorFunction"]);

/** The function, with each call recorded at a place. Outside a run it is just called. */
export function tracedAt<F extends AnyFunction>(place: CallPlace, fn: F, options: TracedOptions): F {
  const name = options.name ?? (fn.name || "anonymous");
  const isLazy = GENERATORS.has(fn.constructor.name);

  function call(this: unknown, ...args: unknown[]): unknown {
    const inner = fn as unknown as (...args: unknown[]) => unknown;
    const scope = place();
    if (scope === undefined) return inner.apply(this, args);
    const input = options.input === false ? undefined : args.length > 1 ? args : args[0];
    const start = (): CallStep => callStep(scope.startStep(name, { ...options, input }), options.output !== false);
    // The body of a generator runs when its first value is asked for, and so does its step.
    if (isLazy) return follow(inner.apply(this, args), start);
    return recorded(start(), () => inner.apply(this, args));
  }

  // A tool may have its description and its schema as properties.
  for (const key of Reflect.ownKeys(fn)) {
    if (!OF_A_FUNCTION.has(key)) Reflect.defineProperty(call, key, Object.getOwnPropertyDescriptor(fn, key)!);
  }
  return call as unknown as F;
}

function callStep(step: Closable & { output: unknown }, takesOutput: boolean): CallStep {
  return {
    wantsResult: takesOutput,
    result: (value) => {
      if (takesOutput) step.output ??= value;
    },
    end: () => step.end(),
    fail: (error) => step.fail(error),
    step,
  };
}

function recorded(step: CallStep, body: () => unknown): unknown {
  let result: unknown;
  try {
    result = within(step.step, body);
  } catch (error) {
    step.fail(error);
    throw error;
  }
  if (isGenerator(result)) return follow(result, () => step);
  return settling(step, result, (value) => step.result(value));
}
