/** OpenAI's Responses API. */

import { argumentsOf, count, facts, listOf, textOfParts, type ChatMessage, type Dialect, type Loose, type ModelAnswer } from "./model_call.js";
import type { TokenCounts } from "../records.js";

export const openaiResponses: Dialect = {
  request: (body) => ({
    name: "responses",
    model: body.model,
    messages: [
      ...(typeof body.instructions === "string" ? [{ role: "system" as const, content: body.instructions as string }] : []),
      ...(typeof body.input === "string" ? [{ role: "user" as const, content: body.input as string }] : messagesOf(body.input, undefined)),
    ],
  }),
  answer: answerOf,
  stream() {
    // The last event holds the whole response. If it never comes, there are the items so far.
    let response: Loose;
    const items: Loose[] = [];
    const texts: string[] = [];
    return {
      error: undefined as unknown,
      add(event: Loose) {
        response = event.response ?? response;
        if (event.type === "response.failed") this.error = response?.error?.message ?? "the response failed";
        if (event.type === "error") this.error = event.message ?? "the stream failed";
        if (event.type === "response.output_item.done") items[event.output_index] = event.item;
        if (event.type === "response.output_text.delta") texts[event.output_index] = (texts[event.output_index] ?? "") + event.delta;
      },
      answer() {
        const isWhole = Array.isArray(response?.output) && response.output.length > 0;
        // An item that was not done has the text so far.
        texts.forEach((text, at) => void (items[at] ??= { type: "message", role: "assistant", content: text }));
        return answerOf(isWhole ? response : { ...response, output: items.filter(Boolean) });
      },
    };
  },
};

function answerOf(response: Loose): ModelAnswer {
  const reason = response.incomplete_details?.reason;
  const known = facts({ response_id: response.id, finish_reason: response.status, incomplete_reason: reason });
  return {
    error: response.status === "failed" ? (response.error?.message ?? "the response failed") : undefined,
    model: response.model,
    messages: messagesOf(response.output, known),
    tokens: tokensOf(response.usage),
  };
}

function tokensOf(usage: Loose): TokenCounts | undefined {
  if (usage === undefined || usage === null) return undefined;
  return {
    input: count(usage.input_tokens),
    output: count(usage.output_tokens),
    cacheRead: count(usage.input_tokens_details?.cached_tokens),
    cacheWrite: count(usage.input_tokens_details?.cache_write_tokens),
    reasoning: count(usage.output_tokens_details?.reasoning_tokens),
  };
}

/** Requests and answers have the same items, so that an item in the history is recognized. Reasoning belongs to what follows. */
function messagesOf(items: Loose, known: Record<string, unknown> | undefined): ChatMessage[] {
  const messages: ChatMessage[] = [];
  let thinking: string | undefined;
  for (const item of listOf(items)) {
    const kind = String(item.type ?? "message");
    if (kind === "reasoning") {
      thinking = textOfParts(item.summary) || textOfParts(item.content) || thinking;
    } else if (kind === "message") {
      messages.push({ role: item.role ?? "assistant", content: textOfParts(item.content), thinking, metadata: known });
      thinking = undefined;
    } else if (kind.endsWith("_call_output")) {
      messages.push({ role: "tool", content: textOfParts(item.output), metadata: facts({ tool_call_id: item.call_id }) });
    } else if (kind.endsWith("_call")) {
      messages.push({ role: "assistant", thinking, toolCalls: [callOf(item, kind)], metadata: known });
      thinking = undefined;
    }
  }
  // An answer may end while the model still thinks.
  if (thinking !== undefined && known !== undefined) messages.push({ role: "assistant", thinking, metadata: known });
  return messages;
}

function callOf(item: Loose, kind: string): unknown {
  const name = item.name ?? kind.slice(0, -"_call".length);
  return { id: item.call_id ?? item.id, name, arguments: argumentsOf(item.arguments ?? item.input) };
}
