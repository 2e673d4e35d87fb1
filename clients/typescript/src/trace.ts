/** A tree of runs: an outermost run and all runs below it. Sampling decides about it as a whole. */

import type { Client } from "./client.js";
import { EventQueue, type QueuedEvent } from "./queue.js";

// A tree whose outermost run nobody ends must not hold its part of the memory for ever.
const forgotten =
  typeof FinalizationRegistry === "undefined"
    ? undefined
    : new FinalizationRegistry<{ client: Client; held: EventQueue }>(({ client, held }) => client.forget(held));

export class Trace {
  /** Events of a tree that sampling left out, until one of its runs fails or the outermost ends. */
  private held: EventQueue | undefined;
  private discarded = false;

  constructor(
    readonly client: Client,
    /** Whether the tree is sent from the start. */
    sampled: boolean,
  ) {
    if (client.settings.disabled) this.discarded = true;
    else if (!sampled) {
      this.held = new EventQueue(Infinity);
      forgotten?.register(this, { client, held: this.held }, this);
    }
  }

  /** Whether events of this tree are, or will be, sent. */
  get kept(): boolean {
    return this.held === undefined && !this.discarded;
  }

  /** Whether nothing of this tree can matter any more. */
  get silent(): boolean {
    return this.discarded;
  }

  emit(event: QueuedEvent): void {
    if (this.discarded) return;
    if (this.held === undefined) this.client.enqueue(event);
    else this.client.hold(this.held, event);
  }

  /** Sends the tree after all. */
  keep(): void {
    if (this.held === undefined) return;
    const held = this.held;
    this.held = undefined;
    forgotten?.unregister(this);
    this.client.release(held);
  }

  /** The outermost run has ended. */
  end(): void {
    if (this.held === undefined) return;
    this.client.forget(this.held);
    forgotten?.unregister(this);
    this.held = undefined;
    this.discarded = true;
  }
}
