/** What all model clients have in common: a call is a step with messages and tokens. */

import { guarded } from "../faults.js";
import { hashOf, recordSighting, type MessageOptions, type Role, type TokenCounts } from "../records.js";
import type { Scope, Step } from "../scopes.js";

/** A message of a request or an answer. */
export interface ChatMessage extends MessageOptions {
  role: Role;
  content?: string | undefined;
}

/** What a client sends. */
export interface ModelRequest {
  /** What the call is named, for people. */
  name: string;
  model: string | undefined;
  /** Instructions and history. */
  messages: ChatMessage[];
}

/** What the model answered. */
export interface ModelAnswer {
  model?: string | undefined;
  messages: ChatMessage[];
  /** Absent: what the messages say. */
  output?: unknown;
  /** The answer itself says that the call failed. */
  error?: unknown;
  tokens: TokenCounts | undefined;
}

/** Puts the answer together from the events of a stream. */
export interface StreamReader {
  /** What the stream itself says went wrong. */
  error?: unknown;
  add(event: unknown): void;
  answer(): ModelAnswer;
}

/** How a client's requests and answers read. Bodies come from outside, so nothing about them is certain. */
export interface Dialect {
  request(body: Loose): ModelRequest;
  answer(response: Loose): ModelAnswer;
  stream(): StreamReader;
}

/** A value of a shape that is likely but not certain. */
export type Loose = any;

// What every call has, or what only this library asked for.
const LEFT_OUT = new Set(["model", "stream", "stream_options"]);

/** A call of a model from its start to its end. Nothing here throws. */
export class ModelCall {
  private readonly step: Step;
  // How often each message was said so far in this call.
  private readonly counts = new Map<number, number>();

  constructor(
    scope: Scope,
    private readonly dialect: Dialect,
    body: Loose,
  ) {
    const request = quietly(() => dialect.request(body)) ?? { name: "model call", model: undefined, messages: [] };
    const asked = quietly(() => Object.fromEntries(Object.entries(body as object).filter(([name]) => !LEFT_OUT.has(name))));
    this.step = scope.startStep(request.name, { kind: "llm", model: request.model, input: quietly(() => withoutData(asked)) });
    guarded(() => this.say(request.messages, false));
  }

  /** What is open while the client works. */
  get open(): Step {
    return this.step;
  }

  /** The answer came as a whole. */
  answered(response: unknown): void {
    this.finish(() => this.dialect.answer(response));
  }

  /** The answer came as a stream, all of it or a part. */
  streamed(reader: StreamReader): void {
    if (reader.error === undefined) this.finish(() => reader.answer());
    else this.fail(reader.error, reader);
  }

  /** The agent took the bytes of the answer itself. */
  untold(): void {
    this.step.end();
  }

  fail(error: unknown, reader?: StreamReader): void {
    if (this.step.ended) return;
    if (reader !== undefined) guarded(() => this.tell(reader.answer()));
    this.step.fail(error);
  }

  private finish(read: () => ModelAnswer): void {
    if (this.step.ended) return;
    const answer = quietly(read);
    if (answer !== undefined) guarded(() => this.tell(answer));
    if (answer?.error === undefined || answer.error === null) this.step.end();
    else this.step.fail(answer.error);
  }

  private tell(answer: ModelAnswer): void {
    this.step.output = outputOf(answer);
    // The step keeps the model that was asked for: a new one would send the request a second time.
    if (this.step.model === undefined) this.step.model = answer.model;
    this.say(answer.messages, true);
    if (answer.tokens !== undefined) this.step.tokens({ model: answer.model ?? this.step.model, ...answer.tokens });
  }

  /** Records messages, but those that were recorded before: each request repeats all before it. */
  private say(messages: ChatMessage[], isAnswer: boolean): void {
    for (const { role, content, ...rest } of messages) {
      const { toolCalls } = rest;
      const answers = rest.metadata?.["tool_call_id"];
      // A long history is compared with each call, so this must be cheap.
      const hash = hashOf([role, content, toolCalls && JSON.stringify(toolCalls), answers].join("\0"));
      const times = (this.counts.get(hash) ?? 0) + 1;
      this.counts.set(hash, times);
      const said = (): string => canonical([role, content, toolCalls, answers]);
      recordSighting(this.step, { hash, said, times, isAnswer }, role, content, rest);
    }
  }
}

/** The text, or the text and the calls of tools. */
function outputOf({ output, messages }: ModelAnswer): unknown {
  if (output !== undefined) return output;
  const texts = messages.flatMap(({ content }) => (content ? [content] : []));
  const calls = messages.flatMap(({ toolCalls }) => (toolCalls as unknown[] | undefined) ?? []);
  const content = texts.length > 0 ? texts.join("\n") : undefined;
  return calls.length > 0 ? { ...(content === undefined ? {} : { content }), tool_calls: calls } : content;
}

// A media file in a request becomes its size.
const LONGEST_DATA = 4096;

function withoutData(value: Loose): Loose {
  if (typeof value === "string") {
    if (value.length <= LONGEST_DATA || !value.startsWith("data:")) return value;
    return `[${value.slice(5, 100).split(";", 1)[0]}, ${value.length} characters]`;
  }
  if (Array.isArray(value)) return value.map(withoutData);
  // Anything but a plain object is left to those who write JSON.
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  const entries = Object.entries(value as Record<string, unknown>).map(([name, item]) => {
    const isData = name === "data" && typeof item === "string" && item.length > LONGEST_DATA;
    return [name, isData ? `[${item.length} characters]` : withoutData(item)];
  });
  return Object.fromEntries(entries);
}

/** JSON with sorted names and in ASCII: all clients derive the same id from the same message. */
function canonical(value: Loose): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const names = Object.keys(value as object).sort();
    return `{${names.map((name) => `${canonical(name)}: ${canonical(value[name])}`).join(", ")}}`;
  }
  const json = JSON.stringify(value) ?? "null";
  return json.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function quietly<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch {
    return undefined;
  }
}

/** A text, or the texts of a list of parts. Parts that are no text are named. */
export function textOfParts(content: Loose): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  const texts = content.map((part: Loose) => (typeof part === "string" ? part : (part?.text ?? part?.refusal ?? `[${part?.type ?? "part"}]`)));
  return texts.length > 0 ? texts.join("\n") : undefined;
}

const TEXTS_IN_JSON = /"(?:[^"\\]|\\.)*"/g;
const LONG_NUMBER = /\d{16}/;

/** Arguments that a model wrote as JSON; the text itself if it is none, or if its numbers would not stay the same. */
export function argumentsOf(text: unknown): unknown {
  if (typeof text !== "string") return text;
  try {
    const parsed: unknown = JSON.parse(text);
    return LONG_NUMBER.test(text) && LONG_NUMBER.test(text.replace(TEXTS_IN_JSON, "")) ? text : parsed;
  } catch {
    return text;
  }
}

/** A list, whatever the body holds in its place. */
export function listOf(value: unknown): Loose[] {
  return Array.isArray(value) ? value.filter((item) => item !== null && item !== undefined) : [];
}

/** What is known about an answer, without what is absent. */
export function facts(known: Record<string, unknown>): Record<string, unknown> | undefined {
  const given = Object.entries(known).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length > 0 ? Object.fromEntries(given) : undefined;
}

/** A count, if it is one. */
export function count(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
