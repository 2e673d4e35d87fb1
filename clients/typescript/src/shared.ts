/** What all copies of this library in a process share: one may be imported and another one required. */

import { Client } from "./client.js";
import { platform, type Carrier } from "./platform.js";

interface Shared {
  client: Client | undefined;
  carrier: Carrier<unknown> | undefined;
}

const KEY = Symbol.for("runtraced");
const global = globalThis as unknown as Record<symbol, Shared | undefined>;

function shared(): Shared {
  return (global[KEY] ??= { client: undefined, carrier: platform().carrier() });
}

/** The client of this process, made when it is first needed. */
export function client(): Client {
  const state = shared();
  return (state.client ??= new Client());
}

/** The client, if something was recorded already. */
export function madeClient(): Client | undefined {
  return shared().client;
}

export function setClient(made: Client): void {
  shared().client = made;
}

/** What is open around the caller, or `undefined`. */
export function around<T>(): T | undefined {
  return shared().carrier?.getStore() as T | undefined;
}

/** Calls a function with something open around it. */
export function within<R>(open: unknown, body: () => R): R {
  const carrier = shared().carrier;
  return carrier === undefined ? body() : carrier.run(open, body);
}
