/** What all copies of this library in a process share: one may be imported and another one required. */

import { Client } from "./client.js";
import { platform, type Carrier } from "./platform.js";

interface Shared {
  client: Client | undefined;
  carrier: Carrier<unknown> | undefined;
  /** Clients of settings that were replaced, until all that they have is settled. */
  earlier: Set<Client>;
}

const KEY = Symbol.for("runtraced");
const global = globalThis as unknown as Record<symbol, Shared | undefined>;

function shared(): Shared {
  return (global[KEY] ??= { client: undefined, carrier: platform().carrier(), earlier: new Set() });
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
  const state = shared();
  if (state.client !== undefined) state.earlier.add(state.client);
  state.client = made;
  retire();
}

/** Flushes the clients of all settings: what was recorded before `configure` is not settled by it. */
export async function flushAll(ms: number): Promise<number> {
  const { client, earlier } = shared();
  // A daemon that was replaced because it does not answer would take the whole time, each time.
  const before = [...earlier].map((one) => one.flush(one.isAway ? 0 : ms));
  const left = await Promise.all([client?.flush(ms) ?? 0, ...before]);
  retire();
  return left.reduce((sum, count) => sum + count, 0);
}

/** Forgets clients that have nothing to do any more: a server may configure again and again. */
function retire(): void {
  const { earlier } = shared();
  for (const client of earlier) if (client.retires()) earlier.delete(client);
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
