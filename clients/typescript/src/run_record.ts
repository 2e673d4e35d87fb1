/** The record of a run from its start to its end: a run of its own, a sub-agent's, or a part of a caller's run. */

import { client } from "./shared.js";
import { guarded } from "./faults.js";
import { idMember, member, textMember } from "./fields.js";
import { isId, isIdText, newId, spanIdOf } from "./ids.js";
import { jsonOf, textOf } from "./json.js";
import { numberOf } from "./numbers.js";
import { clientOf, live, record, RunState, type Place } from "./place.js";
import { errorMember, statusMember, StepRecord } from "./step.js";
import { callerOf, type CallerContext, type HeadersLike } from "./trace_context.js";
import { Trace } from "./trace.js";

// The daemon refuses the start of a run with a longer timeout.
const LONGEST_TIMEOUT_MS = 100 * 365 * 24 * 3_600_000;

export interface RunOptions {
  /** A name for this run, for people. */
  name?: string | undefined;
  /** The kind of agent, for example `orchestrator`. */
  type?: string | undefined;
  /** The question or task. A text stays as it is, anything else becomes JSON. */
  input?: unknown;
  /** The conversation: any name, or a UUID. */
  session?: string | undefined;
  sessionTitle?: string | undefined;
  /** The user: any name, or a UUID. */
  user?: string | undefined;
  /** The customer, by the UUID in the table `customers`. */
  customer?: string | undefined;
  tags?: readonly string[] | undefined;
  metadata?: Record<string, unknown> | undefined;
  /** How long the run may be silent before it counts as abandoned, in milliseconds. */
  timeout?: number | undefined;
  /** The share of runs like this one that is sent. Default: that of `configure`. Runs below another go the same way as it. */
  sample?: number | undefined;
  /** The caller's `traceparent`, or the headers that hold it: then this goes on in the caller's run. What is none is ignored. */
  traceparent?: string | HeadersLike | null | undefined;
}

export class RunRecord implements Place {
  state: RunState | undefined;
  id: string = newId();
  /** The step for this run in the run around it, or in the caller's run. */
  private handoff: StepRecord | undefined;
  private isCallers = false;
  private isOutermost = false;
  private open = true;

  constructor(around: Place | undefined, agent: string, options: RunOptions) {
    guarded(() => {
      const caller = callerOf(options.traceparent);
      if (caller === undefined) this.start(around, agent, options);
      else this.goOn(caller, agent, options);
    });
  }

  /** The innermost step of a part of a caller's run is the step that stands for the part. */
  get stepId(): string | undefined {
    return this.isCallers ? this.handoff?.stepId : undefined;
  }

  end(output: unknown, error: unknown, late: Record<string, unknown> | undefined): void {
    if (!this.open) return;
    this.open = false;
    const state = live(this);
    if (state === undefined) return;
    const failed = error !== undefined && error !== null;
    if (failed && clientOf(state).settings.keepFailures) state.trace.keep();
    if (this.isCallers) {
      this.handoff?.end(output, error, undefined, late, late !== undefined);
    } else {
      this.stop(state, output, error, late);
      this.handoff?.end(undefined, error, undefined, undefined, false);
    }
    clientOf(state).closed(state);
    if (this.isOutermost) state.trace.end();
  }

  private start(around: Place | undefined, agent: string, options: RunOptions): void {
    const parent = around && live(around);
    this.isOutermost = parent === undefined;
    const trace = parent?.trace ?? new Trace(client(), client().samples(numberOf(options.sample)));
    if (parent !== undefined) {
      this.handoff = new StepRecord(around!, agent, { kind: "agent", metadata: { run_id: this.id } });
    }
    const session = sessionOf(trace, options) ?? parent?.sessionId;
    const state = new RunState(trace, this.id, session, customerOf(trace, options) ?? parent?.customer);
    this.state = state;
    if (trace.silent) return;
    const timeout = timeoutOf(trace, options);
    const { fields } = clientOf(state);
    record(
      state,
      "run_started",
      `"run_id":"${this.id}"` +
        idMember("session_id", session) +
        textMember("parent_run_id", parent?.id) +
        textMember("customer_id", state.customer) +
        textMember("agent_id", agent) +
        textMember("agent_type", options.type) +
        textMember("name", options.name) +
        timeoutMember(timeout),
      member("input", fields.text(options.input, "input")) + member("metadata_json", fields.object(metadataOf(options), "metadata")),
    );
    clientOf(state).opened(state, timeout);
  }

  /** Goes on in the caller's run, as a hand-off below the step that called. */
  private goOn(caller: CallerContext, agent: string, options: RunOptions): void {
    this.id = caller.runId;
    this.isCallers = true;
    this.isOutermost = true;
    const trace = new Trace(client(), caller.sampled);
    this.state = new RunState(trace, this.id, sessionOf(trace, options), undefined);
    const alias = spanIdOf(caller.runId, caller.span);
    const place = { state: this.state, stepId: undefined };
    const details = { kind: "agent", input: options.input, metadata: metadataOf(options) };
    this.handoff = new StepRecord(place, agent, details, alias, true);
  }

  private stop(state: RunState, output: unknown, error: unknown, late: Record<string, unknown> | undefined): void {
    const { fields } = clientOf(state);
    const payload = member("output", fields.text(output, "output")) + member("metadata_json", fields.object(late, "metadata"));
    record(state, "run_ended", `"run_id":"${this.id}"${statusMember(error)}${errorMember(state, error)}`, payload);
  }
}

/** The metadata, with what has no field of its own. */
function metadataOf({ metadata, user, session, tags }: RunOptions): Record<string, unknown> {
  const isOfSession = isIdText(user) && session !== undefined && session !== null;
  return {
    ...readable(metadata),
    ...(user === undefined || user === null || isOfSession ? {} : { user }),
    ...(Array.isArray(tags) && tags.length > 0 ? { tags } : {}),
  };
}

/** Metadata that can be copied: a getter that throws takes nothing else with it. */
function readable(metadata: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  try {
    return { ...metadata };
  } catch {
    const shown: unknown = JSON.parse(jsonOf(metadata) ?? "{}");
    return typeof shown === "object" ? (shown as Record<string, unknown>) : { metadata: shown };
  }
}

/** The id of a run's session. Tells what is known about the session, if that is news. */
function sessionOf(trace: Trace, options: RunOptions): string | undefined {
  const { session, user, sessionTitle } = options;
  if (session === undefined || session === null || session === "") return undefined;
  // As JSON, two objects that differ are two sessions.
  const name = textOf(session) ?? "";
  const id = trace.client.sessionId(name);
  if (trace.silent) return id;
  const { fields } = trace.client;
  const hasUser = user !== undefined && user !== null;
  const ids = (hasUser && isIdText(user) ? textMember("user_id", user) : "") + (isId(name) ? "" : textMember("external_id", name));
  const texts =
    member("title", fields.text(sessionTitle, "metadata")) +
    (hasUser && !isIdText(user) ? member("metadata_json", fields.object({ user }, "metadata")) : "");
  const known = ids + texts;
  // What sampling leaves out is not known to the daemon, so the next run tells it again.
  if (known === "" || (trace.kept && !trace.client.isNews(id, known))) return id;
  record(new RunState(trace, id, id, undefined), "session_upsert", `"session_id":"${id}"${ids}`, texts, "}}", false);
  return id;
}

/** What is no id would have the whole event refused. */
function customerOf(trace: Trace, { customer }: RunOptions): string | undefined {
  if (customer === undefined || customer === null) return undefined;
  if (typeof customer === "string" && isId(customer)) return customer;
  trace.client.problems.tell("customer", "the customer of a run is no UUID: it is left out");
  return undefined;
}

/** So is a time that the daemon does not take. */
function timeoutOf(trace: Trace, { timeout }: RunOptions): number | undefined {
  if (timeout === undefined || timeout === null || timeout === Infinity) return undefined;
  const ms = numberOf(timeout);
  if (ms !== undefined && ms >= 1 && ms <= LONGEST_TIMEOUT_MS) return ms;
  trace.client.problems.tell("timeout", "the timeout of a run is not between 1 ms and 100 years: it is left out");
  return undefined;
}

/** A duration as the JSON form wants it. */
function timeoutMember(ms: number | undefined): string {
  return ms !== undefined ? `,"timeout":"${Number((ms / 1000).toFixed(6))}s"` : "";
}
