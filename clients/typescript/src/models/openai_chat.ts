/** OpenAI's Chat Completions, and the many servers that speak it; and its embeddings. */

import { argumentsOf, count, facts, listOf, textOfParts, type ChatMessage, type Dialect, type Loose, type ModelAnswer } from "./model_call.js";
import type { TokenCounts } from "../records.js";

export const openaiChat: Dialect = {
  request: (body) => ({
    name: "chat.completions",
    model: body.model,
    messages: listOf(body.messages).map(messageOf),
  }),
  answer: answerOf,
  stream() {
    const choices: Loose[] = [];
    let id: string | undefined;
    let model: string | undefined;
    let usage: Loose;
    return {
      add(chunk: Loose) {
        id = chunk.id || id;
        model = chunk.model || model;
        usage = chunk.usage ?? usage;
        for (const choice of chunk.choices ?? []) addChoice(choices, choice);
      },
      answer: () => answerOf({ id, model, usage, choices: choices.filter(Boolean) }),
    };
  },
};

function answerOf(response: Loose): ModelAnswer {
  return {
    // Some servers say with the status 200 that a call failed.
    error: response.error?.message ?? response.error,
    model: response.model,
    messages: listOf(response.choices).map(({ message, finish_reason }) => ({
      ...messageOf(message ?? {}),
      metadata: facts({ response_id: response.id, finish_reason }),
    })),
    tokens: tokensOf(response.usage),
  };
}

function messageOf(message: Loose): ChatMessage {
  const calls = message.tool_calls as Loose[] | undefined;
  return {
    role: message.role ?? "assistant",
    content: textOfParts(message.content) || message.refusal || undefined,
    thinking: message.reasoning_content ?? message.reasoning ?? undefined,
    toolCalls: calls && calls.length > 0 ? calls.map(callOf) : undefined,
    metadata: facts({ tool_call_id: message.tool_call_id }),
  };
}

function callOf(call: Loose): unknown {
  const called = call.function ?? call.custom ?? {};
  return { id: call.id, name: called.name, arguments: argumentsOf(called.arguments ?? called.input) };
}

function tokensOf(usage: Loose): TokenCounts | undefined {
  if (usage === undefined || usage === null) return undefined;
  return {
    input: count(usage.prompt_tokens),
    output: count(usage.completion_tokens),
    cacheRead: count(usage.prompt_tokens_details?.cached_tokens),
    cacheWrite: count(usage.prompt_tokens_details?.cache_write_tokens),
    reasoning: count(usage.completion_tokens_details?.reasoning_tokens),
  };
}

/** Adds a piece of a choice to what came before. */
function addChoice(choices: Loose[], { index, delta, finish_reason }: Loose): void {
  const choice = (choices[index ?? 0] ??= { message: { role: "assistant", content: null } });
  if (finish_reason) choice.finish_reason = finish_reason;
  const { message } = choice;
  for (const text of ["content", "refusal", "reasoning_content", "reasoning"]) {
    if (typeof delta?.[text] === "string") message[text] = (message[text] ?? "") + delta[text];
  }
  for (const piece of listOf(delta?.tool_calls)) {
    const call = callFor(piece, (message.tool_calls ??= []));
    call.id ??= piece.id;
    call.function.name += piece.function?.name ?? "";
    call.function.arguments += piece.function?.arguments ?? "";
  }
}

/** The call that a piece belongs to. Some servers give all calls the index 0, or none: then a new id begins a new call. */
function callFor(piece: Loose, calls: Loose[]): Loose {
  const at = piece.index;
  const same = calls.findLast((call) => call.at === at);
  if (same !== undefined && (!piece.id || !same.id || piece.id === same.id)) return same;
  const call = { at, id: piece.id || undefined, type: "function", function: { name: "", arguments: "" } };
  calls.push(call);
  return call;
}

export const openaiEmbeddings: Dialect = {
  request: (body) => ({ name: "embeddings", model: body.model, messages: [] }),
  // The vectors are large, and no person reads them.
  answer: (response) => ({
    model: response.model,
    messages: [],
    output: { embeddings: response.data?.length },
    tokens: { input: count(response.usage?.prompt_tokens) },
  }),
  stream() {
    throw new TypeError("embeddings are not streamed");
  },
};
