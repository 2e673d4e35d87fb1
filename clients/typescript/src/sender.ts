/** Sends what waits in the queue, one batch at a time, again and again until it is settled. */

import { reasonOf, verdictOf, type Refusal, type Verdict } from "./answers.js";
import { timerMs } from "./numbers.js";
import { platform, quiet, quietTimer, type DiskSpool } from "./platform.js";
import type { Problems } from "./problems.js";
import type { EventQueue, QueuedEvent } from "./queue.js";
import type { Settings } from "./settings.js";
import { within } from "./shared.js";
import { SpoolSide } from "./spool_side.js";

// A batch fills while the one before is on its way. So batches are small when little happens.
const LINGER_MS = 20;
const MOST_EVENTS = 2000;
const MOST_BYTES = 1024 * 1024;
// No server has a reason to find such an event too large.
const SMALL_BYTES = 16 * 1024;
// A pump that does not come back, because its runtime froze or ended the request, is given up this long after its limit.
const GRACE_MS = 1000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
// An answer such as "no such key" needs a person.
const LONGEST_DENIED_BACKOFF_MS = 30_000;
// From this failure on, a spool takes what waits.
const FAILURES_BEFORE_SPOOL = 2;
// While a request is on its way, one looks this often whether the process waits for it alone.
const END_LOOK_MS = 250;
// Without timers of its own, `flush` looks this often whether another request's pump is done.
const LOOK_MS = 50;

// No pause is longer, whoever names it.
const LONGEST_WAIT_MS = 60_000;

// Why the daemon refuses events that would be fine without their inputs, outputs and texts.
const OF_PAYLOADS = new Set(["FIELD_TOO_LONG", "JSON_TOO_DEEP", "NUMBER_OUT_OF_RANGE", "INVALID_JSON"]);

/** How long it is until a time. If it is longer than it can be, somebody set the clock: then nothing waits. */
function until(time: number, most: number): number {
  const ms = time - Date.now();
  return ms > most ? 0 : ms;
}

/** What the daemon said about events so far. */
export interface SenderCounts {
  /** Stored by the daemon. */
  settled: number;
  /** Refused by the daemon, each for a reason of its own. */
  refused: number;
}

export class Sender {
  readonly counts: SenderCounts = { settled: 0, refused: 0 };
  readonly spool: SpoolSide;
  /** Why the daemon could not take the last batch. Empty: it could. */
  away = "";
  private batch: QueuedEvent[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the timer is there to send. */
  private isDue = false;
  private pumping = 0;
  private leaseUntil = 0;
  private failures = 0;
  private notBefore = 0;
  private waiters: (() => void)[] = [];
  private request: AbortController | undefined;
  private mostEvents = MOST_EVENTS;

  constructor(
    private readonly settings: Settings,
    private readonly queue: EventQueue,
    private readonly problems: Problems,
    spool: DiskSpool | undefined,
    /** Called when there is nothing to send. In how many milliseconds to call it again. */
    private readonly idle: () => number | undefined,
  ) {
    this.spool = new SpoolSide(spool, queue, problems);
    if (this.spool.mayHold) this.wake();
  }

  /** Something waits: sends it soon. Costs next to nothing while a timer is set. */
  wake(): void {
    if (!this.isDue && platform().timers && until(this.leaseUntil, this.leaseMs) <= 0) this.schedule(LINGER_MS);
  }

  /** Sends until all that is there now is settled or spooled, or the time is over. How many events are not settled. */
  async flush(ms: number): Promise<number> {
    const upTo = this.queue.came;
    const deadline = performance.now() + ms;
    let first = true;
    while (this.queue.gone < upTo) {
      // What is asked for now waits for no back-off, but for the time that the daemon named.
      if (first || !this.isDue) this.start();
      first = false;
      const rest = deadline - performance.now();
      if (rest <= 0) break;
      await this.progressOr(platform().timers ? rest : Math.min(rest, LOOK_MS));
    }
    return Math.max(0, upTo - this.queue.gone) + this.spool.kept;
  }

  /** Everything that is not settled, out of the queue, for a last resort. Nothing is sent any more. */
  takeAll(): QueuedEvent[] {
    this.pumping += 1;
    this.stopTimer();
    const all = [...this.spool.withoutFile(this.batch), ...this.queue.take(Infinity, Infinity)];
    this.batch = [];
    return all;
  }

  private schedule(ms: number, isDue = true): void {
    this.stopTimer();
    this.isDue = isDue;
    this.timer = quietTimer(() => {
      this.isDue = false;
      this.start();
    }, ms);
  }

  private stopTimer(): void {
    clearTimeout(this.timer);
    this.isDue = false;
  }

  /** Starts a pump, unless one runs or the daemon asked to wait. */
  private start(): void {
    if (until(this.leaseUntil, this.leaseMs) > 0) return;
    const wait = until(this.notBefore, LONGEST_WAIT_MS);
    if (wait > 0) {
      // Timers may fire a little too early.
      if (!this.isDue && platform().timers) this.schedule(wait);
      return;
    }
    this.stopTimer();
    this.pumping += 1;
    // Outside of all runs: a `fetch` that the agent has traced would record each request, and so cause the next one.
    within(undefined, () => this.pump(this.pumping).catch((error: unknown) => this.broke(error)));
  }

  private get leaseMs(): number {
    return this.settings.requestTimeout + GRACE_MS;
  }

  private async pump(number: number): Promise<void> {
    let more = true;
    while (more) {
      this.leaseUntil = Date.now() + this.leaseMs;
      if (this.batch.length === 0) await this.fill();
      if (number !== this.pumping) return;
      if (this.batch.length === 0) break;
      const verdict = await this.post(this.batch);
      if (number !== this.pumping) return;
      more = await this.act(verdict);
      if (number !== this.pumping) return;
      this.tellWaiters();
    }
    this.leaseUntil = 0;
    this.tellWaiters();
    if (more) this.rest();
  }

  /** A fault of this library: the batch is tried again later. */
  private broke(error: unknown): void {
    this.leaseUntil = 0;
    this.failures += 1;
    this.problems.tell("broke", `sending failed: ${String(error)}`);
    if (platform().timers) this.schedule(LONGEST_BACKOFF_MS);
    this.tellWaiters();
  }

  /** Nothing is left to send. An event that came while the lease ran has set no timer. */
  private rest(): void {
    const again = this.idle();
    if (this.queue.length > 0) this.wake();
    else if (again !== undefined && platform().timers) this.schedule(again, false);
  }

  private async fill(): Promise<void> {
    this.batch = this.queue.take(this.mostEvents, MOST_BYTES);
    if (this.batch.length === 0 && this.spool.mayHold) this.batch = await this.spool.take(this.mostEvents, MOST_BYTES);
  }

  private async post(batch: readonly QueuedEvent[]): Promise<Verdict> {
    const headers: Record<string, string> = { "content-type": "application/x-ndjson" };
    if (this.settings.key !== undefined) headers["authorization"] = `Bearer ${this.settings.key}`;
    if (this.settings.customer !== undefined) headers["runtraced-customer"] = this.settings.customer;
    const stop = new AbortController();
    this.request = stop;
    const limit = quietTimer(() => stop.abort(), this.settings.requestTimeout);
    const look = this.lookForEnd();
    try {
      const body = batch.map((event) => event.line).join("\n");
      const url = `${this.settings.endpoint}/v1/events`;
      return await verdictOf(await this.settings.fetch(url, { method: "POST", headers, body, signal: stop.signal }));
    } catch (error) {
      // What was given up says less than what was wrong before.
      const why = stop.signal.aborted ? this.away || "it does not answer" : reasonOf(error);
      return { kind: "later", afterMs: undefined, denied: false, why };
    } finally {
      clearTimeout(limit);
      clearTimeout(look);
    }
  }

  /** Gives up what is on its way. It stays in the batch. */
  abandon(): void {
    this.request?.abort();
  }

  /** A request keeps the process alive, so nobody is told that the program is over: looks whether it is. */
  private lookForEnd(): ReturnType<typeof setInterval> | undefined {
    const { isIdle } = platform();
    if (isIdle === undefined) return undefined;
    let idle = 0;
    const look = setInterval(() => {
      idle = isIdle() ? idle + END_LOOK_MS : 0;
      if (idle > this.settings.exitTimeout) this.abandon();
    }, END_LOOK_MS);
    return quiet(look);
  }

  /** Whether to go on at once. */
  private async act(verdict: Verdict): Promise<boolean> {
    switch (verdict.kind) {
      case "settled":
        this.settle(verdict);
        return true;
      case "smaller":
        if (this.shrink(verdict)) return true;
        await this.later({ kind: "later", afterMs: undefined, denied: true, why: verdict.why });
        return false;
      case "later":
        await this.later(verdict);
        return false;
    }
  }

  private settle({ refused }: Verdict & { kind: "settled" }): void {
    const lighter = refused.filter((refusal) => this.lightens(refusal));
    const final = refused.filter((refusal) => !lighter.includes(refusal));
    for (const { code, reason } of refused) this.problems.tell(`refused ${code}`, `an event was refused: ${code}: ${reason}`);
    const again = lighter.map(({ line }) => this.batch[line - 1]!);
    this.batch = this.batch.filter((event) => !again.includes(event));
    this.counts.settled += this.batch.length - final.length;
    this.counts.refused += final.length;
    this.gone();
    this.queue.putBack(again);
    this.away = "";
    this.failures = 0;
    this.notBefore = 0;
    this.mostEvents = MOST_EVENTS;
  }

  /** Whether an event was refused for its payload, and can do without: that a run began, or a step ended, is worth more. */
  private lightens({ line, code }: Refusal): boolean {
    const event = OF_PAYLOADS.has(code) ? this.batch[line - 1] : undefined;
    return event !== undefined && this.queue.dropPayload(event);
  }

  /** The batch needs nothing more. */
  private gone(): void {
    if (!this.spool.settled(this.batch)) this.queue.settle(this.batch);
    this.batch = [];
  }

  /** The daemon cannot read the batch as a whole. Halves it, down to the event that is at fault. Whether that may help. */
  private shrink({ why, isDaemons }: Verdict & { kind: "smaller" }): boolean {
    if (this.batch.length > 1) {
      const rest = this.batch.splice(Math.ceil(this.batch.length / 2));
      this.mostEvents = this.batch.length;
      if (!this.spool.putBack(rest)) this.queue.putBack(rest);
      return true;
    }
    const [event] = this.batch as [QueuedEvent];
    if ((isDaemons || event.bytes > SMALL_BYTES) && this.queue.dropPayload(event)) {
      this.problems.tell("too large", `the payload of an event was dropped: ${why}`);
      return true;
    }
    if (!isDaemons) return false;
    this.problems.tell("unreadable", `an event was dropped: ${why}`);
    this.queue.dropped.events += 1;
    this.gone();
    return true;
  }

  private async later({ afterMs, why, denied }: Verdict & { kind: "later" }): Promise<void> {
    this.failures += 1;
    this.away = why;
    this.problems.tell("unsent", `events wait, the daemon at ${this.settings.endpoint} does not take them: ${why}`);
    if (this.failures >= FAILURES_BEFORE_SPOOL) this.batch = await this.spool.keep(this.batch);
    const longest = denied ? LONGEST_DENIED_BACKOFF_MS : LONGEST_BACKOFF_MS;
    const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** (this.failures - 1), longest) * (0.5 + Math.random() / 2);
    const wait = afterMs ?? backoff;
    this.notBefore = afterMs !== undefined || !platform().timers ? Date.now() + wait : 0;
    if (platform().timers) this.schedule(wait);
  }

  private tellWaiters(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  /** Waits for an answer of the daemon. This timer keeps the process alive: somebody awaits it. */
  private async progressOr(ms: number): Promise<void> {
    await new Promise<void>((done) => {
      const timer = setTimeout(done, timerMs(ms));
      this.waiters.push(() => {
        clearTimeout(timer);
        done();
      });
    });
  }
}
