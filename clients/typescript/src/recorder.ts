/** What can be recorded at a place, as methods: for runtimes that carry no context along. */

import { Approval, requestApproval, type ApprovalOptions } from "./approval.js";
import { guarded } from "./faults.js";
import { idMember } from "./fields.js";
import { spanIdOf } from "./ids.js";
import { live, record, type Place, type RunState } from "./place.js";
import {
  recordMessage,
  recordScore,
  recordTokens,
  type MessageOptions,
  type Role,
  type ScoreOptions,
  type TokenCounts,
} from "./records.js";
import { formatTraceparent, spanOf } from "./trace_context.js";

export abstract class Recorder implements Place {
  abstract readonly state: RunState | undefined;
  abstract readonly stepId: string | undefined;

  /** Where something belongs that is recorded through this object. */
  protected abstract place(): Place;

  /** Records a message. */
  message(role: Role, content: unknown, options?: MessageOptions): void {
    guarded(() => recordMessage(this.place(), role, content, options));
  }

  /** Records used tokens. */
  tokens(counts: TokenCounts): void {
    guarded(() => recordTokens(this.place(), counts));
  }

  /** Records an assessment: a number, or more. */
  score(name: string, score: number | ScoreOptions): void {
    guarded(() => recordScore(this.place(), name, typeof score === "number" ? { value: score } : score));
  }

  /** Asks a person for approval. Wait for the decision with `wait`. */
  approval(description: string, data?: unknown, options: ApprovalOptions = {}): Approval {
    let asked: Approval | undefined;
    guarded(() => void (asked = requestApproval(this.place(), description, data, options ?? {})));
    return asked ?? new Approval(undefined);
  }

  /** The W3C `traceparent` for a request: an agent that gets it goes on in this run. */
  traceparent(): string | undefined {
    let header: string | undefined;
    guarded(() => void (header = this.header()));
    return header;
  }

  private header(): string | undefined {
    const state = live(this);
    if (state === undefined) return undefined;
    const { stepId } = this.place();
    const span = spanOf(stepId ?? state.id);
    const alias = spanIdOf(state.id, span);
    if (state.announces(alias)) {
      record(state, "step_aliased", `"alias_id":"${alias}","run_id":"${state.id}"${idMember("step_id", stepId)}`);
    }
    return formatTraceparent({ runId: state.id, span, sampled: state.trace.kept });
  }
}
