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

/** Ends something with a result, and gives the agent what it may use in the place of the result. */
export function settling<T>(open: Closable, result: T, take: (value: unknown) => void = () => undefined): T {
  const done = (value: unknown): void => {
    take(value);
    open.end();
  };
  if (isPromise(result)) return watched(result, done, (error) => open.fail(error));
  if (isThenable(result) && follows(result, done, (error) => open.fail(error))) return result;
  done(result);
  return result;
}

/**
 * A promise, seen by the way. To look at a promise is to handle it, so an error that nobody handles would stay unseen:
 * the agent gets a promise of its own. Promises with methods of their own are left as they are.
 */
export function watched<P extends Promise<unknown>>(promise: P, done: (value: unknown) => void, failed: (error: unknown) => void): P {
  const own = promise.then(
    (value) => {
      done(value);
      return value;
    },
    (error: unknown) => {
      failed(error);
      throw error;
    },
  );
  // Node keeps symbols of its own on promises.
  const isPlain = Object.getPrototypeOf(promise) === Promise.prototype && Object.getOwnPropertyNames(promise).length === 0;
  if (isPlain) return own as P;
  own.catch(() => undefined);
  return promise;
}

/**
 * Sees the outcome of a thenable that is no promise, such as a query. Some start with each `then`, and some can be refined
 * before, so it is left as it is, and seen when the agent calls `then`. Whether that is possible.
 */
function follows(thenable: PromiseLike<unknown>, done: (value: unknown) => void, failed: (error: unknown) => void): boolean {
  const { then } = thenable;
  const seen = function (this: unknown, onDone?: Outcome, onFailed?: Outcome): unknown {
    const passed = (value: unknown): unknown => {
      done(value);
      return typeof onDone === "function" ? onDone(value) : value;
    };
    const broken = (error: unknown): unknown => {
      failed(error);
      if (typeof onFailed === "function") return onFailed(error);
      throw error;
    };
    return Reflect.apply(then, this, [passed, broken]);
  };
  try {
    Object.defineProperty(thenable, "then", { value: seen, configurable: true, writable: true });
    return true;
  } catch {
    return false;
  }
}

type Outcome = ((value: unknown) => unknown) | null;

// A proxy may throw whatever is asked.
function isPromise<T>(value: T): value is T & Promise<unknown> {
  try {
    return value instanceof Promise;
  } catch {
    return false;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  try {
    return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
  } catch {
    return false;
  }
}
