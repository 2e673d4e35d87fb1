/** Keeps something open while a function runs. */

import { within } from "./shared.js";

export interface Closable {
  end(): void;
  fail(error: unknown): void;
}

/** Calls a function with something open around it, and ends that with the function or its promise. */
export function during<S extends Closable, T>(open: S, body: (open: S) => T): T {
  let result: T;
  try {
    result = within(open, () => body(open));
  } catch (error) {
    open.fail(error);
    throw error;
  }
  return settling(open, result);
}

/** Ends something with a result. The agent gets its own promise where that is possible. */
export function settling<T>(open: Closable, result: T): T {
  if (result instanceof Promise) {
    // Both outcomes are handled here, so no rejection is added to the agent's.
    result.then(
      () => open.end(),
      (error: unknown) => open.fail(error),
    );
    return result;
  }
  if (isThenable(result)) {
    // Some thenables, such as database queries, start with each `then`. So there is one.
    return new Promise((resolve, reject) => result.then(resolve, reject)).then(
      (value) => {
        open.end();
        return value;
      },
      (error: unknown) => {
        open.fail(error);
        throw error;
      },
    ) as T;
  }
  open.end();
  return result;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
