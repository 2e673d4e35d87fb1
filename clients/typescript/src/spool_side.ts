/** The sender's side of a spool: what goes to the disk while the daemon is away, and comes back later. */

import type { ClaimedFiles, DiskSpool } from "./platform.js";
import type { Problems } from "./problems.js";
import { QueuedEvent, type EventQueue } from "./queue.js";

/** All methods do nothing without a spool. */
export class SpoolSide {
  /** Whether a file may be there to send. */
  mayHold: boolean;
  private files: ClaimedFiles | undefined;
  private waiting: QueuedEvent[] = [];
  /** Events that are on their way to the disk, beside the batch. */
  private writing: QueuedEvent[] = [];
  private fromFile = new Set<QueuedEvent>();

  constructor(
    private readonly disk: DiskSpool | undefined,
    private readonly queue: EventQueue,
    private readonly problems: Problems,
  ) {
    this.mayHold = disk !== undefined;
  }

  /** How many events of this process are on the disk, and the daemon does not have them yet. */
  get kept(): number {
    return this.disk?.kept() ?? 0;
  }

  /** Events of the oldest files, up to these limits. */
  async take(mostEvents: number, mostBytes: number): Promise<QueuedEvent[]> {
    if (this.waiting.length === 0) await this.claim();
    let bytes = 0;
    let count = 0;
    while (count < this.waiting.length && count < mostEvents && (count === 0 || bytes < mostBytes)) {
      bytes += this.waiting[count]!.bytes;
      count += 1;
    }
    const taken = this.waiting.splice(0, count);
    this.fromFile = new Set(taken);
    return taken;
  }

  /** Settles events that came from a file. Whether they did. */
  settled(events: readonly QueuedEvent[]): boolean {
    if (!this.isFromFile(events)) return false;
    this.fromFile.clear();
    if (this.waiting.length > 0) return true;
    this.files?.done();
    this.files = undefined;
    return true;
  }

  /** Events that came from a file wait again. Whether they did. */
  putBack(events: readonly QueuedEvent[]): boolean {
    if (!this.isFromFile(events)) return false;
    this.waiting.unshift(...events);
    return true;
  }

  /** Moves a batch and all that waits to the disk. What is still to be sent from memory. */
  async keep(batch: QueuedEvent[]): Promise<QueuedEvent[]> {
    if (!this.disk) return batch;
    // A batch that came from a file has its file.
    const own = this.isFromFile(batch) ? [] : batch;
    this.writing = this.queue.take(Infinity, Infinity);
    const events = [...own, ...this.writing];
    if (events.length === 0) return batch;
    try {
      await this.disk.keep(events.map((event) => event.line));
    } catch (error) {
      this.problems.tell("spool", `the spool cannot be written: ${String(error)}`);
      this.queue.putBack(this.writing);
      return batch;
    } finally {
      this.writing = [];
    }
    this.queue.settle(events);
    this.mayHold = true;
    return own === batch ? [] : batch;
  }

  /** Keeps events at the end of the process. Whether that worked. */
  keepNow(events: readonly QueuedEvent[]): boolean {
    try {
      this.disk?.keepNow(events.map((event) => event.line));
      return this.disk !== undefined;
    } catch (error) {
      this.problems.tell("spool", `the spool cannot be written: ${String(error)}`);
      return false;
    }
  }

  /** At the end of the process: leaves files that are not settled to another one. The events that are in no whole file. */
  withoutFile(batch: QueuedEvent[]): QueuedEvent[] {
    const own = this.isFromFile(batch) ? [] : batch;
    this.files?.release();
    this.files = undefined;
    const writing = this.writing;
    this.writing = [];
    return [...own, ...writing];
  }

  private isFromFile(events: readonly QueuedEvent[]): boolean {
    return events.length > 0 && this.fromFile.has(events[0]!);
  }

  private async claim(): Promise<void> {
    try {
      this.files = await this.disk?.claim();
    } catch (error) {
      this.problems.tell("spool", `the spool cannot be read: ${String(error)}`);
    }
    if (this.files === undefined) {
      this.mayHold = false;
      return;
    }
    this.waiting = this.files.lines.map((line) => new QueuedEvent(line, "", "", ""));
  }
}
