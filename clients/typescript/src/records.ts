/** Messages, tokens and scores. */

import type { Client } from "./client.js";
import { countMember, idMember, member, textMember } from "./fields.js";
import { isIdText, messageIdOf, newId } from "./ids.js";
import { clientOf, live, record, RunState, type Place } from "./place.js";
import { Trace } from "./trace.js";

/** Who says a message. `developer` counts as `system`, `function` as `tool`. */
export type Role = "user" | "assistant" | "system" | "tool" | "developer" | "function";

const ROLES: Record<string, string> = {
  user: "USER",
  human: "USER",
  assistant: "ASSISTANT",
  model: "ASSISTANT",
  ai: "ASSISTANT",
  system: "SYSTEM",
  developer: "SYSTEM",
  tool: "TOOL",
  function: "TOOL",
};

export interface MessageOptions {
  /** The model's reasoning. */
  thinking?: string | undefined;
  toolCalls?: unknown;
  metadata?: Record<string, unknown> | undefined;
}

export interface TokenCounts {
  model?: string | undefined;
  /** All input tokens, cached ones included. */
  input?: number | undefined;
  /** All output tokens, reasoning included. */
  output?: number | undefined;
  cacheRead?: number | undefined;
  cacheWrite?: number | undefined;
  reasoning?: number | undefined;
}

export interface ScoreOptions {
  value?: number | undefined;
  label?: string | undefined;
  comment?: string | undefined;
  source?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
}

/** What is assessed, by its ids: of another process, or of a run that has ended. */
export interface ScoreOf {
  run?: string | undefined;
  step?: string | undefined;
}

export function recordMessage(place: Place, role: Role, content: unknown, options: MessageOptions = {}): void {
  const state = live(place);
  if (state !== undefined) appendMessage(state, place.stepId, newId(), "", role, content, options);
}

/** A message of a model call. The requests of a session repeat it. */
export interface Sighting {
  /** Tells it from other messages, within this process. */
  hash: number;
  /** What it says, the same whoever repeats it. */
  said: () => string;
  /** How often the call has said it by now. */
  times: number;
  /** It is the model's answer, so probably nobody has recorded it. */
  isAnswer: boolean;
}

/** Records a message of a model call, unless this process did so before. */
export function recordSighting(place: Place, sighting: Sighting, role: Role, content: unknown, options: MessageOptions): void {
  const state = live(place);
  if (state === undefined) return;
  const { hash, said, times, isAnswer } = sighting;
  const scope = state.sessionId ?? state.id;
  if (!state.hears(`${scope} ${times} ${hash}`)) return;
  const marks = `,"sighting":true${isAnswer ? ',"believed_new":true' : ""}`;
  appendMessage(state, place.stepId, messageIdOf(scope, said(), times), marks, role, content, options);
}

function appendMessage(
  state: RunState,
  stepId: string | undefined,
  id: string,
  marks: string,
  role: Role,
  content: unknown,
  options: MessageOptions,
): void {
  const { fields } = clientOf(state);
  const payload =
    member("content", fields.text(content, "content")) +
    member("thinking", fields.text(options.thinking, "thinking")) +
    member("tool_calls_json", fields.json(options.toolCalls, "tool_calls")) +
    member("metadata_json", fields.object(options.metadata, "metadata"));
  const ids = `"message_id":"${id}","run_id":"${state.id}"` + idMember("session_id", state.sessionId) + idMember("step_id", stepId);
  const word = typeof role === "string" ? role.toLowerCase() : "";
  const known = Object.hasOwn(ROLES, word) ? ROLES[word] : "USER";
  record(state, "message_appended", `${ids},"role":"MESSAGE_ROLE_${known}","seq":${state.nextMessage()}${marks}`, payload);
}

/** 53 bits: enough to tell messages apart, without keeping them. */
export function hashOf(text: string): number {
  let first = 0xdeadbeef;
  let second = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    first = Math.imul(first ^ code, 0x9e3779b1);
    second = Math.imul(second ^ code, 0x5f356495);
  }
  first = Math.imul(first ^ (first >>> 16), 0x85ebca6b) ^ Math.imul(second ^ (second >>> 13), 0xc2b2ae35);
  second = Math.imul(second ^ (second >>> 16), 0x85ebca6b) ^ Math.imul(first ^ (first >>> 13), 0xc2b2ae35);
  return 2 ** 32 * (second & 0x1fffff) + (first >>> 0);
}

export function recordTokens(place: Place, counts: TokenCounts): void {
  const state = live(place);
  if (state === undefined) return;
  record(
    state,
    "token_count",
    `"token_count_id":"${newId()}","run_id":"${state.id}"` +
      idMember("step_id", place.stepId) +
      textMember("model", counts.model) +
      countMember("input", counts.input) +
      countMember("output", counts.output) +
      countMember("cache_read", counts.cacheRead) +
      countMember("cache_write", counts.cacheWrite) +
      countMember("reasoning", counts.reasoning),
  );
}

export function recordScore(place: Place, name: string, options: ScoreOptions): void {
  const state = live(place);
  if (state === undefined) return;
  const { fields } = clientOf(state);
  const value = typeof options.value === "number" && Number.isFinite(options.value) ? `,"value":${options.value}` : "";
  record(
    state,
    "score_added",
    `"score_id":"${newId()}","run_id":"${state.id}"` +
      idMember("step_id", place.stepId) +
      textMember("name", name) +
      value +
      textMember("label", options.label) +
      textMember("source", options.source),
    member("comment", fields.text(options.comment, "comment")) + member("metadata_json", fields.object(options.metadata, "metadata")),
  );
}

/** A score of a run that is not at hand. It is sent whatever sampling says: nobody knows what it said then. */
export function recordScoreOf(client: Client, run: string, step: string | undefined, name: string, options: ScoreOptions): void {
  // The ids may come from a request: what is none could say anything in the JSON of the event.
  if (!isIdText(run) || (step !== undefined && step !== null && !isIdText(step))) {
    client.problems.tell("score", "a score is not recorded: what it names is no UUID of a run or step");
    return;
  }
  const state = new RunState(new Trace(client, true), run, undefined, undefined);
  recordScore({ state, stepId: step ?? undefined }, name, options);
}
