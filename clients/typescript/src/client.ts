/** The way of events from the agent's calls to the daemon, and what is known about them. */

import { faultCount } from "./faults.js";
import { FieldWriter } from "./fields.js";
import { isId, sessionIdOf } from "./ids.js";
import { platform } from "./platform.js";
import { record, type RunState } from "./place.js";
import { Problems } from "./problems.js";
import { EventQueue, type QueuedEvent } from "./queue.js";
import { Sender, type SenderCounts } from "./sender.js";
import { settingsOf, type Options, type Settings } from "./settings.js";

// Trees that sampling leaves out may wait in this part of the queue's bytes.
const HELD_PART = 1 / 4;
// So many messages of model calls are remembered. Recording one again is harmless.
const MOST_HEARD = 20_000;
// Far below the daemon's timeout of runs. A run with a timeout of its own may need it more often.
const BEAT_MS = 60_000;
const SHORTEST_BEAT_MS = 500;
// At the end of the process, a daemon that did not answer before gets this much time.
const EXIT_AWAY_MS = 1000;
// What was told about this many sessions is remembered.
const MOST_SESSIONS = 1000;

/** What became of the events of this process. */
export interface Stats extends SenderCounts {
  /** Waiting in memory, or being sent. */
  waiting: number;
  /** In files of the spool. They are sent later, by this process or another. */
  spooled: number;
  /** Dropped because the queue was full. */
  droppedEvents: number;
  /** Sent without inputs, outputs and texts because the queue was full. */
  droppedPayloads: number;
  /** Values that were replaced because the mask failed. */
  maskingFailures: number;
  /** Faults of this library. */
  faults: number;
}

export class Client {
  readonly settings: Settings;
  readonly fields: FieldWriter;
  readonly problems: Problems;
  private readonly queue: EventQueue;
  private sender: Sender | undefined;
  /** Messages of model calls that were recorded. */
  readonly heard = new Set<string>();
  private readonly sessions = new Map<string, string>();
  private readonly runs = new Map<string, WeakRef<RunState>>();
  private beatMs = BEAT_MS;
  private beatAt = Date.now();
  private heldBytes = 0;
  private drainedAt = -1;
  /** Forgets what is to be done at the end of the process. */
  private unwatch: (() => void) | undefined;
  /** Whether the process ends, and nothing can wait any more. */
  private isOver = false;

  constructor(readonly options: Options = {}) {
    const wrong: string[] = [];
    this.settings = settingsOf(options, wrong);
    this.fields = new FieldWriter(this.settings.mask);
    this.problems = new Problems(this.settings.onProblem);
    for (const problem of wrong) this.problems.tell(problem, problem);
    this.queue = new EventQueue(this.settings.maxQueueBytes);
    // A spool may hold what an earlier process left.
    if (this.settings.spool !== undefined && !this.settings.disabled) this.start();
  }

  enqueue(event: QueuedEvent): void {
    const { dropped } = this.queue;
    const before = dropped.events + dropped.payloads;
    this.queue.push(event);
    if (dropped.events + dropped.payloads !== before) this.tellLosses();
    const sender = this.sender ?? this.start();
    this.watchEnd();
    if (this.isOver) this.keepOrTell("late", () => "events are lost: the process was ending when they were recorded");
    else sender.wake();
  }

  /** Whether a run that starts now is sent from the start. */
  samples(share = this.settings.sample): boolean {
    return share >= 1 || Math.random() < share;
  }

  hold(held: EventQueue, event: QueuedEvent): void {
    const before = held.bytes;
    held.push(event);
    this.heldBytes += held.bytes - before;
    while (this.heldBytes > this.settings.maxQueueBytes * HELD_PART && held.length > 0) {
      const bytes = held.bytes;
      held.shed();
      this.heldBytes -= bytes - held.bytes;
    }
  }

  release(held: EventQueue): void {
    this.queue.dropped.payloads += held.dropped.payloads;
    this.queue.dropped.events += held.dropped.events;
    if (held.dropped.payloads + held.dropped.events > 0) this.tellLosses();
    this.forget(held);
    for (const event of held.take(Infinity, Infinity)) this.enqueue(event);
  }

  forget(held: EventQueue): void {
    this.heldBytes -= held.bytes;
  }

  /** Whether what is known about a session is news. */
  isNews(session: string, facts: string): boolean {
    if (this.sessions.get(session) === facts) return false;
    this.sessions.delete(session);
    this.sessions.set(session, facts);
    if (this.sessions.size > MOST_SESSIONS) {
      const [oldest] = this.sessions.keys();
      this.sessions.delete(oldest!);
    }
    return true;
  }

  /** Remembers that a message of a model call was recorded. */
  hear(message: string): void {
    if (this.heard.size >= MOST_HEARD) this.heard.clear();
    this.heard.add(message);
  }

  /** The id of a session: its name if that is a UUID, else derived from it as over OTLP. */
  sessionId(name: string): string {
    if (isId(name)) return name;
    return sessionIdOf(name, this.settings.customer);
  }

  /** See the surface. */
  async flush(ms: number): Promise<number> {
    if (this.sender === undefined) return 0;
    try {
      return await this.sender.flush(ms);
    } catch (error) {
      this.problems.tell("flush", `flush failed: ${String(error)}`);
      return this.queue.came - this.queue.gone;
    }
  }

  stats(): Stats {
    const { dropped } = this.queue;
    return {
      waiting: this.queue.came - this.queue.gone,
      spooled: this.sender?.spool.kept ?? 0,
      ...(this.sender?.counts ?? { settled: 0, refused: 0 }),
      droppedEvents: dropped.events,
      droppedPayloads: dropped.payloads,
      maskingFailures: this.fields.failures,
      faults: faultCount(),
    };
  }

  /** A run began: while it is open and silent, heartbeats say that it is alive. */
  opened(run: RunState, timeout: number | undefined): void {
    this.runs.set(run.id, new WeakRef(run));
    if (timeout !== undefined) this.beatMs = Math.max(SHORTEST_BEAT_MS, Math.min(this.beatMs, timeout / 3));
  }

  closed(run: RunState): void {
    this.runs.delete(run.id);
  }

  /** In how many milliseconds to call again; `undefined` if no run is open. */
  private beat(): number | undefined {
    const wait = this.beatAt + this.beatMs - Date.now();
    if (wait > 0 && wait <= this.beatMs) return this.runs.size > 0 ? wait : undefined;
    this.beatAt = Date.now();
    for (const [id, reference] of this.runs) {
      const run = reference.deref();
      if (run === undefined) this.runs.delete(id);
      else if (!run.active && run.trace.kept) record(run, "heartbeat", `"run_id":"${id}"`);
      if (run !== undefined) run.active = false;
    }
    return this.runs.size > 0 ? this.beatMs : undefined;
  }

  private start(): Sender {
    let spool;
    try {
      if (this.settings.spool !== undefined) spool = platform().openSpool(this.settings.spool, this.settings.maxSpoolBytes);
    } catch (error) {
      this.problems.tell("spool", `the spool cannot be opened: ${String(error)}`);
    }
    this.sender = new Sender(this.settings, this.queue, this.problems, spool, () => this.beat());
    this.watchEnd();
    return this.sender;
  }

  private watchEnd(): void {
    this.unwatch ??= platform().onExit({ drain: () => this.drain(), last: () => this.last() });
  }

  /** Whether the daemon could not take what was sent last. */
  get isAway(): boolean {
    return (this.sender?.away ?? "") !== "";
  }

  /** After other settings replaced these: whether nothing is left to do. What is recorded later is sent none the less. */
  retires(): boolean {
    if (this.runs.size > 0 || this.queue.came > this.queue.gone || (this.sender?.spool.kept ?? 0) > 0) return false;
    this.unwatch?.();
    this.unwatch = undefined;
    return true;
  }

  /** Once for the same events: the end of a process is announced again when this is over. */
  private async drain(): Promise<void> {
    if (this.drainedAt === this.queue.came) return;
    this.drainedAt = this.queue.came;
    const { exitTimeout } = this.settings;
    const left = await this.flush(this.isAway ? Math.min(exitTimeout, EXIT_AWAY_MS) : exitTimeout);
    // The time is over. A request that has no answer yet would keep the process alive.
    if (left > (this.sender?.spool.kept ?? 0)) this.sender?.abandon();
  }

  private last(): void {
    this.isOver = true;
    this.keepOrTell("lost", (count) => `${count} events are lost: ${this.sender?.away || "the process ended before they were sent"}`);
  }

  /** Keeps what is left in the spool, or says that it is lost. */
  private keepOrTell(kind: string, loss: (count: number) => string): void {
    const left = this.sender?.takeAll() ?? [];
    if (left.length > 0 && !this.sender!.spool.keepNow(left)) this.problems.tell(kind, loss(left.length));
  }

  private tellLosses(): void {
    const { payloads, events } = this.queue.dropped;
    this.problems.tell("dropped", `the queue is full: ${payloads} payloads and ${events} events were dropped so far`);
  }
}
