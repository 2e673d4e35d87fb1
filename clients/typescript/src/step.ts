/** A step of a run. */

import { guarded } from "./faults.js";
import { idMember, member, textMember } from "./fields.js";
import { newId } from "./ids.js";
import { errorText, jsonOf } from "./json.js";
import { clientOf, live, record, type Place, type RunState } from "./place.js";

/** What a step does. Any other word is kept as it is. */
export type StepKind = "llm" | "tool" | "thinking" | "tool_result" | "handoff" | "agent" | (string & {});

export interface StepOptions {
  kind?: StepKind | undefined;
  input?: unknown;
  model?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
}

const STEP_TYPES: Record<string, string> = {
  llm: '"STEP_TYPE_LLM_CALL"',
  tool: '"STEP_TYPE_TOOL_CALL"',
  thinking: '"STEP_TYPE_THINKING"',
  tool_result: '"STEP_TYPE_TOOL_RESULT"',
  handoff: '"STEP_TYPE_HANDOFF"',
  // A sub-agent, or an agent that another program calls: as over OTLP.
  agent: '"STEP_TYPE_HANDOFF","kind":"agent"',
};
const OTHER = '"STEP_TYPE_OTHER"';

function stepType(kind: string | undefined): string {
  if (kind === undefined || kind === null) return OTHER;
  return Object.hasOwn(STEP_TYPES, kind) ? STEP_TYPES[kind]! : `${OTHER},"kind":${JSON.stringify(String(kind))}`;
}

// An error says what went wrong; it is no place for a page of HTML.
const LONGEST_ERROR = 20_000;

/** The error of a run or step as a field, after the mask; empty if there is none. */
export function errorMember(state: RunState, error: unknown): string {
  if (error === undefined || error === null) return "";
  return member("error", clientOf(state).fields.text(errorText(error).slice(0, LONGEST_ERROR), "error"));
}

export function statusMember(error: unknown): string {
  const failed = error !== undefined && error !== null;
  return `,"status":"END_STATUS_${failed ? "FAILED" : "COMPLETED"}"`;
}

/** The record of a step from its start to its end. */
export class StepRecord implements Place {
  readonly stepId: string = newId();
  readonly state: RunState | undefined;
  private fixed = "";
  private input: string | undefined;
  private metadata: string | undefined;
  private open = false;

  /** Starts a step. `alias` is set if the parent stands for a step of another process. */
  constructor(place: Place, name: string, options: StepOptions, parent = place.stepId, alias = false) {
    this.state = live(place);
    if (this.state !== undefined) guarded(() => this.start(this.state!, name, options, parent, alias));
  }

  private start(state: RunState, name: string, options: StepOptions, parent: string | undefined, alias: boolean): void {
    const { fields } = clientOf(state);
    this.open = true;
    this.input = fields.json(options.input, "input");
    this.metadata = fields.object(options.metadata, "metadata");
    this.fixed =
      `"step_type":${stepType(options.kind)}` +
      textMember("name", name) +
      idMember("parent_step_id", parent) +
      (alias ? ',"parent_may_be_alias":true' : "");
    record(
      state,
      "step_started",
      `"step_id":"${this.stepId}","run_id":"${state.id}","details":{${this.fixed}${textMember("model", options.model)}`,
      member("input_json", this.input) + member("metadata_json", this.metadata),
      "}}}",
    );
  }

  /** Ends it. `late` is what became known after the start; without anything new, the start's details stand. */
  end(output: unknown, error: unknown, model: string | undefined, late: Record<string, unknown> | undefined, news: boolean): void {
    if (!this.open) return;
    this.open = false;
    const state = live(this);
    if (state === undefined) return;
    const { fields } = clientOf(state);
    const payload = member("output_json", fields.json(output, "output")) + (news ? this.details(state, model, late) : "");
    const head = `"step_id":"${this.stepId}","run_id":"${state.id}"${statusMember(error)},"announced":true`;
    record(state, "step_ended", head + errorMember(state, error), payload, "}}", false);
  }

  /** The details at the end count as a whole, so they repeat the start. */
  private details(state: RunState, model: string | undefined, late: Record<string, unknown> | undefined): string {
    const { fields } = clientOf(state);
    const added = fields.object(late, "metadata");
    const metadata = added === undefined ? this.metadata : merged(this.metadata, added);
    const payload = member("input_json", fields.again(this.input)) + member("metadata_json", fields.again(metadata));
    return `,"details":{${this.fixed}${textMember("model", model)}${payload}}`;
  }
}

function merged(first: string | undefined, second: string): string | undefined {
  if (first === undefined) return second;
  return jsonOf({ ...(JSON.parse(first) as object), ...(JSON.parse(second) as object) });
}
