/** Events that wait for the daemon, bounded in bytes. */

// What an event costs beside its text: its object, its place in the queue, the pieces of its text.
const EVENT_OVERHEAD_BYTES = 400;

/** An event as one line of JSON, in three parts: its payload may be dropped. */
export class QueuedEvent {
  /** What it costs in memory, about. */
  bytes: number;

  constructor(
    readonly head: string,
    public payload: string,
    readonly tail: string,
    /** What stands in for a dropped payload, so that a reader sees the loss. */
    readonly instead: string,
    /** Whether the payload takes two bytes for each character. */
    wide = false,
  ) {
    this.bytes = EVENT_OVERHEAD_BYTES + head.length + payload.length * (wide ? 2 : 1) + tail.length;
  }

  get line(): string {
    return this.head + this.payload + this.tail;
  }

  /** Drops the payload. Whether there was one. */
  dropPayload(): boolean {
    if (this.payload === this.instead || this.payload === "") return false;
    this.payload = this.instead;
    this.bytes = EVENT_OVERHEAD_BYTES + this.head.length + this.instead.length + this.tail.length;
    return true;
  }
}

/** What a queue did not keep. */
export interface Losses {
  payloads: number;
  events: number;
}

/** First in, first out. Over its limit it drops the payloads of the oldest events, then the oldest events. */
export class EventQueue {
  readonly dropped: Losses = { payloads: 0, events: 0 };
  /** Bytes of all events here, and of those taken but not settled yet. */
  bytes = 0;
  /** How many events came in, and how many of them are settled or dropped. */
  came = 0;
  gone = 0;
  private events: (QueuedEvent | undefined)[] = [];
  private first = 0;
  private nextPayload = 0;

  constructor(public limitBytes: number) {}

  get length(): number {
    return this.events.length - this.first;
  }

  push(event: QueuedEvent): void {
    this.came += 1;
    // One that does not fit at all would cost all others their payloads.
    if (event.bytes > this.limitBytes && event.dropPayload()) this.dropped.payloads += 1;
    this.events.push(event);
    this.bytes += event.bytes;
    while (this.bytes > this.limitBytes && this.length > 0) this.shed();
  }

  /** The oldest events, up to these limits but at least one. They count until they are settled. */
  take(mostEvents: number, mostBytes: number): QueuedEvent[] {
    const taken: QueuedEvent[] = [];
    let bytes = 0;
    while (this.length > 0 && taken.length < mostEvents) {
      const event = this.events[this.first]!;
      if (taken.length > 0 && bytes + event.bytes > mostBytes) break;
      bytes += event.bytes;
      taken.push(event);
      this.removeFirst();
    }
    return taken;
  }

  /** Events that were taken are stored, refused or kept elsewhere. */
  settle(events: readonly QueuedEvent[]): void {
    for (const event of events) this.bytes -= event.bytes;
    this.gone += events.length;
  }

  /** Events that were taken cannot be delivered. */
  drop(events: readonly QueuedEvent[]): void {
    this.settle(events);
    this.dropped.events += events.length;
  }

  /** Drops the payload of an event that was taken. Whether it had one. */
  dropPayload(event: QueuedEvent): boolean {
    const before = event.bytes;
    if (!event.dropPayload()) return false;
    this.bytes -= before - event.bytes;
    this.dropped.payloads += 1;
    return true;
  }

  /** Events that were taken wait again, before all others. */
  putBack(events: readonly QueuedEvent[]): void {
    this.events = [...events, ...this.events.slice(this.first)];
    this.first = 0;
    this.nextPayload = 0;
  }

  /** Drops the oldest payload or, without any, the oldest event. */
  shed(): void {
    while (this.nextPayload < this.events.length) {
      const event = this.events[this.nextPayload]!;
      this.nextPayload += 1;
      if (this.dropPayload(event)) return;
    }
    const event = this.events[this.first]!;
    this.removeFirst();
    this.drop([event]);
  }

  private removeFirst(): void {
    this.events[this.first] = undefined;
    this.first += 1;
    this.nextPayload = Math.max(this.nextPayload, this.first);
    // Amortized: each compaction moves fewer events than were removed before it.
    if (this.first > 1024 && this.first * 2 > this.events.length) {
      this.events = this.events.slice(this.first);
      this.nextPayload -= this.first;
      this.first = 0;
    }
  }
}
