/** Approvals: asking a person, and waiting for the decision. */

import { reasonOf } from "./answers.js";
import { timeText } from "./clock.js";
import { idMember, member, textMember } from "./fields.js";
import { newId } from "./ids.js";
import { millisOf, numberOf } from "./numbers.js";
import { clientOf, live, record, type Place, type RunState } from "./place.js";

export interface ApprovalOptions {
  /** The action, for example `send_email`. */
  action?: string | undefined;
  /** How long the request stands, in milliseconds. Default: for ever. */
  expires?: number | undefined;
}

export interface Decision {
  /** `pending`: nobody has decided yet. */
  status: "approved" | "rejected" | "expired" | "pending";
  /** Whether the action may go ahead. */
  approved: boolean;
  /** What the person wrote. */
  notes: string | undefined;
}

// One question to the daemon lasts so long; it may wait for 60 seconds.
const ASK_MS = 30_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
// A request may be on its way for a while after the time that the daemon waits.
const GRACE_MS = 5000;
const LAST_GRACE_MS = 250;

// The end of the year 9999, the last that the JSON form of a time has.
const LATEST_MS = 253_402_300_799_000;

const PENDING: Decision = { status: "pending", approved: false, notes: undefined };

/** A request for approval. */
export class Approval {
  /** `undefined` outside a run: then nobody is asked, and nobody approves. */
  readonly id: string | undefined;

  constructor(private readonly state: RunState | undefined) {
    this.id = state && newId();
  }

  /**
   * Waits until somebody decides, the request expires, or the time in milliseconds is over. Never
   * throws: what is not approved must not happen, and `pending` is not approved.
   */
  async wait(ms = Infinity): Promise<Decision> {
    if (this.state === undefined) return PENDING;
    const timeout = millisOf(ms, 0);
    const deadline = performance.now() + timeout;
    let pause = FIRST_PAUSE_MS;
    void clientOf(this.state).flush(Math.min(timeout, ASK_MS));
    for (;;) {
      const asked = performance.now();
      if (asked >= deadline) return PENDING;
      const decision = await this.ask(Math.min(deadline - asked, ASK_MS));
      if (decision !== undefined && decision.status !== "pending") return decision;
      // The daemon has waited already, unless it could not, or there was less than a second.
      const waited = performance.now() - asked;
      if (waited < pause) await sleep(Math.min(pause, deadline - performance.now()));
      pause = decision === undefined ? Math.min(pause * 2, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
    }
  }

  /** Asks the daemon once. `undefined` if it could not tell. */
  private async ask(ms: number): Promise<Decision | undefined> {
    const { settings, problems } = clientOf(this.state!);
    const stop = new AbortController();
    const limit = setTimeout(() => stop.abort(), ms < ASK_MS ? ms + LAST_GRACE_MS : ms + GRACE_MS);
    try {
      const headers: Record<string, string> = {};
      if (settings.key !== undefined) headers["authorization"] = `Bearer ${settings.key}`;
      if (settings.customer !== undefined) headers["runtraced-customer"] = settings.customer;
      const url = `${settings.endpoint}/api/approvals/${this.id}?wait=${Math.floor(ms / 1000)}s`;
      const response = await settings.fetch(url, { headers, signal: stop.signal });
      const body = (await response.json()) as { approval?: Partial<Decision> & { notes?: string | null } };
      if (response.ok && body.approval?.status !== undefined) {
        const { status, notes } = body.approval;
        return { status, approved: status === "approved", notes: notes ?? undefined };
      }
      if (response.status !== 404) problems.tell("approval", `the daemon does not tell about an approval: ${response.status}`);
    } catch (error) {
      problems.tell("approval", `the daemon does not tell about an approval: ${reasonOf(error)}`);
    } finally {
      clearTimeout(limit);
    }
    return undefined;
  }
}

/** Asks. A run that asks somebody is sent, whatever sampling says. */
export function requestApproval(place: Place, description: string, data: unknown, options: ApprovalOptions): Approval {
  const state = live(place);
  const approval = new Approval(state);
  if (state === undefined) return approval;
  state.trace.keep();
  const { fields } = clientOf(state);
  const at = Date.now() + (numberOf(options.expires) ?? Infinity);
  const expires = Math.abs(at) < LATEST_MS ? `,"expires_at":"${timeText(Math.floor(at) * 1000)}"` : "";
  record(
    state,
    "approval_requested",
    `"approval_id":"${approval.id}","run_id":"${state.id}"` +
      idMember("session_id", state.sessionId) +
      idMember("step_id", place.stepId) +
      textMember("action_type", options.action) +
      expires,
    member("action_description", fields.text(description, "description")) + member("action_data_json", fields.json(data, "data")),
    "}}",
    false,
  );
  return approval;
}

async function sleep(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms));
}
