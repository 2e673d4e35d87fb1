/** A middleware for the Vercel AI SDK: `wrapLanguageModel({ model, middleware: middleware() })`. */

import { textOf } from "../json.js";
import { within } from "../shared.js";
import type { Scope } from "../scopes.js";
import type { TokenCounts } from "../records.js";
import { argumentsOf, count, facts, listOf, ModelCall, type ChatMessage, type Dialect, type Loose, type ModelAnswer } from "./model_call.js";
import { followReadable } from "./streams.js";

const vercel: Dialect = {
  request: ({ model, prompt }) => ({
    name: "language model",
    model,
    messages: listOf(prompt).flatMap(messagesOf),
  }),
  answer: answerOf,
  stream() {
    const content: Loose[] = [];
    const open = new Map<string, Loose>();
    let usage: Loose;
    let finishReason: Loose;
    let response: Loose;
    return {
      error: undefined as unknown,
      add(part: Loose) {
        if (part.type === "finish") ({ usage, finishReason } = part);
        else if (part.type === "response-metadata") response = { ...response, ...facts({ id: part.id, modelId: part.modelId }) };
        else if (part.type === "error") this.error = part.error ?? "the stream failed";
        else if (part.type === "tool-call") content.push(part);
        else if (part.type === "text-delta" || part.type === "reasoning-delta") addText(content, open, part);
      },
      answer: () => answerOf({ content, usage, finishReason, response }),
    };
  },
};

function addText(content: Loose[], open: Map<string, Loose>, part: Loose): void {
  const type = part.type === "text-delta" ? "text" : "reasoning";
  const key = `${type} ${part.id}`;
  let block = open.get(key);
  if (block === undefined) {
    block = { type, text: "" };
    open.set(key, block);
    content.push(block);
  }
  block.text += part.delta ?? part.textDelta ?? "";
}

function answerOf(result: Loose): ModelAnswer {
  const { id, modelId } = result.response ?? {};
  const content = listOf(result.content).filter((part) => part.type !== "source");
  // A reason is a word, or since version 3 of the specification a word and the provider's own.
  const metadata = facts({ response_id: id, finish_reason: result.finishReason?.unified ?? result.finishReason });
  return {
    model: modelId,
    messages: messagesOf({ role: "assistant", content }).map((said) => ({ ...said, metadata: said.metadata ?? metadata })),
    tokens: tokensOf(result.usage),
  };
}

/** A message of several parts. Each result of a tool is a message of its own. */
function messagesOf({ role, content }: Loose): ChatMessage[] {
  if (typeof content === "string") return [{ role, content }];
  const parts = listOf(content);
  const results = parts.filter((part) => part.type === "tool-result");
  const calls = parts.filter((part) => part.type === "tool-call");
  const said = parts.filter((part) => part.type === "text" || part.type === "file");
  const thoughts = parts.filter((part) => part.type === "reasoning").map((part) => part.text as string);
  const own: ChatMessage = {
    role,
    content: said.length > 0 ? said.map((part) => (part.type === "text" ? part.text : `[${part.mediaType ?? "file"}]`)).join("\n") : undefined,
    thinking: thoughts.length > 0 ? thoughts.join("\n") : undefined,
    toolCalls: calls.length > 0 ? calls.map(callOf) : undefined,
  };
  const answers = results.map((result): ChatMessage => {
    return { role: "tool", content: resultOf(result), metadata: { tool_call_id: result.toolCallId } };
  });
  return said.length + calls.length + thoughts.length > 0 ? [own, ...answers] : answers;
}

function callOf(call: Loose): unknown {
  return { id: call.toolCallId, name: call.toolName, arguments: argumentsOf(call.input ?? call.args) };
}

function resultOf(part: Loose): string {
  const output = part.output ?? part.result;
  const value = output !== null && typeof output === "object" && "value" in output ? (output.value as unknown) : (output as unknown);
  return textOf(value) ?? "";
}

/** Counts are numbers, or since version 3 of the specification numbers by kind. */
function tokensOf(usage: Loose): TokenCounts | undefined {
  if (usage === undefined || usage === null) return undefined;
  const { inputTokens, outputTokens } = usage;
  return {
    input: count(inputTokens?.total ?? inputTokens),
    output: count(outputTokens?.total ?? outputTokens),
    cacheRead: count(inputTokens?.cacheRead ?? usage.cachedInputTokens),
    cacheWrite: count(inputTokens?.cacheWrite),
    reasoning: count(outputTokens?.reasoning ?? usage.reasoningTokens),
  };
}

/** What the SDK passes to a middleware, of which this uses a part. */
interface Generating {
  doGenerate: () => PromiseLike<Loose>;
  params: Loose;
  model: Loose;
}

interface Streaming {
  doStream: () => PromiseLike<Loose>;
  params: Loose;
  model: Loose;
}

/** A middleware of any version of the SDK. */
export interface Middleware {
  readonly specificationVersion: any;
  wrapGenerate(call: Generating): Promise<Loose>;
  wrapStream(call: Streaming): Promise<Loose>;
}

/** Records the calls of a language model. */
export function vercelMiddleware(place: () => Scope | undefined): Middleware {
  return {
    specificationVersion: "v3",
    async wrapGenerate({ doGenerate, params, model }) {
      const call = callAt(place(), params, model);
      if (call === undefined) return doGenerate();
      try {
        const result = await within(call.open, doGenerate);
        call.answered(result);
        return result;
      } catch (error) {
        call.fail(error);
        throw error;
      }
    },
    async wrapStream({ doStream, params, model }) {
      const call = callAt(place(), params, model);
      if (call === undefined) return doStream();
      try {
        const result = await within(call.open, doStream);
        return followed(result, call);
      } catch (error) {
        call.fail(error);
        throw error;
      }
    },
  };
}

/** A result whose stream is read along, if it has one. */
function followed(result: Loose, call: ModelCall): Loose {
  if (typeof result?.stream?.getReader !== "function" || result.stream.locked) {
    call.untold();
    return result;
  }
  return { ...result, stream: followReadable(result.stream as ReadableStream<unknown>, call, vercel.stream()) };
}

function callAt(scope: Scope | undefined, params: Loose, model: Loose): ModelCall | undefined {
  if (scope === undefined) return undefined;
  // Headers may hold keys.
  const { headers: _headers, abortSignal: _abortSignal, ...sent } = params ?? {};
  return new ModelCall(scope, vercel, { model: model?.modelId, provider: model?.provider, ...sent });
}
