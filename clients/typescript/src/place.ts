/** Where something is recorded: a run, and the step of it that is open. */

import type { Client } from "./client.js";
import { nowMicros, timeText } from "./clock.js";
import { QueuedEvent } from "./queue.js";
import type { Trace } from "./trace.js";

/** What all places of one run share. */
export class RunState {
  /** Whether something was recorded since the last heartbeat. */
  active = true;
  private messages = 0;
  private readonly announced = new Set<string>();
  private readonly heard = new Set<string>();

  constructor(
    readonly trace: Trace,
    readonly id: string,
    readonly sessionId: string | undefined,
    readonly customer: string | undefined,
  ) {}

  /** The position of the next message. */
  nextMessage(): number {
    this.messages += 1;
    return this.messages;
  }

  /** Whether a message of a model call was not recorded before. */
  hears(message: string): boolean {
    const { client } = this.trace;
    if (this.heard.has(message) || client.heard.has(message)) return false;
    // What sampling leaves out is not known to the daemon, so another run records it again.
    if (!this.trace.kept) this.heard.add(message);
    else client.hear(message);
    return true;
  }

  /** Whether nobody asked for this alias before. */
  announces(alias: string): boolean {
    if (this.announced.has(alias)) return false;
    this.announced.add(alias);
    return true;
  }
}

export interface Place {
  /** Absent outside a run: then nothing is recorded. */
  readonly state: RunState | undefined;
  /** The innermost open step. */
  readonly stepId: string | undefined;
}

/** The run of a place, if anything that is recorded there matters. */
export function live(place: Place): RunState | undefined {
  return place.state === undefined || place.state.trace.silent ? undefined : place.state;
}

export function clientOf(state: RunState): Client {
  return state.trace.client;
}

// Says in the database that a payload did not fit into the queue.
const DROPPED = ',"metadata_json":{"runtraced":{"dropped":"payload"}}';

/** Records an event that happens now. `fields` begins with a member, `payload` and `end` with a comma or a brace. */
export function record(state: RunState, kind: string, fields: string, payload = "", end = "}}", mark = true): void {
  const head = `{"time":"${timeText(nowMicros())}","${kind}":{${fields}`;
  state.active = true;
  const { client } = state.trace;
  const instead = mark && payload !== "" ? DROPPED : "";
  state.trace.emit(new QueuedEvent(head, payload, end, instead, client.fields.takeWide()));
}
