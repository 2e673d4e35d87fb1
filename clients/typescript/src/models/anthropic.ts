/** Anthropic's Messages API. */

import { argumentsOf, count, facts, listOf, textOfParts, type ChatMessage, type Dialect, type Loose, type ModelAnswer } from "./model_call.js";
import type { TokenCounts } from "../records.js";

export const anthropicMessages: Dialect = {
  request: (body) => ({
    name: "messages",
    model: body.model,
    messages: [
      ...(body.system === undefined ? [] : [{ role: "system" as const, content: textOfParts(body.system) }]),
      ...listOf(body.messages).flatMap(messagesOf),
    ],
  }),
  answer: answerOf,
  stream() {
    let message: Loose = { role: "assistant", content: [] };
    return {
      add(event: Loose) {
        if (event.type === "message_start") message = structuredClone(event.message);
        else addEvent(message, event);
      },
      answer: () => answerOf({ ...message, content: (message.content as Loose[]).filter(Boolean).map(whole) }),
    };
  },
};

function answerOf(message: Loose): ModelAnswer {
  const metadata = facts({ response_id: message.id, finish_reason: message.stop_reason });
  return {
    model: message.model,
    messages: messagesOf(message).map((said) => ({ ...said, metadata: said.metadata ?? metadata })),
    tokens: tokensOf(message.usage),
  };
}

/** A message of several blocks. Results of tools are in messages of the user, but nobody said them. */
function messagesOf({ role, content }: Loose): ChatMessage[] {
  if (typeof content === "string") return [{ role, content }];
  const blocks = listOf(content);
  const results = blocks.filter((block) => String(block.type).endsWith("tool_result"));
  const calls = blocks.filter((block) => String(block.type).endsWith("tool_use"));
  const thoughts = blocks.filter((block) => block.type === "thinking").map((block) => block.thinking as string);
  const known = new Set<Loose>([...results, ...calls]);
  const said = blocks.filter((block) => !known.has(block) && !/thinking$/.test(block.type));
  const own: ChatMessage = {
    role,
    content: textOfParts(said),
    thinking: thoughts.length > 0 ? thoughts.join("\n") : undefined,
    toolCalls: calls.length > 0 ? calls.map(({ id, name, input }) => ({ id, name, arguments: input as unknown })) : undefined,
  };
  const answers = results.map((result): ChatMessage => {
    const metadata = facts({ tool_call_id: result.tool_use_id, is_error: result.is_error || undefined });
    return { role: "tool", content: textOfParts(result.content), metadata };
  });
  return said.length + calls.length + thoughts.length > 0 ? [...answers, own] : answers;
}

/** Cached tokens are not in `input_tokens`. */
function tokensOf(usage: Loose): TokenCounts | undefined {
  if (usage === undefined || usage === null) return undefined;
  const cacheRead = count(usage.cache_read_input_tokens);
  const cacheWrite = count(usage.cache_creation_input_tokens);
  const input = count(usage.input_tokens);
  return {
    input: input === undefined ? undefined : input + (cacheRead ?? 0) + (cacheWrite ?? 0),
    output: count(usage.output_tokens),
    cacheRead,
    cacheWrite,
    reasoning: count(usage.output_tokens_details?.thinking_tokens),
  };
}

function addEvent(message: Loose, event: Loose): void {
  if (event.type === "content_block_start") message.content[event.index] = { ...event.content_block };
  if (event.type === "message_delta") {
    message.usage = { ...message.usage, ...facts(event.usage ?? {}) };
    message.stop_reason = event.delta?.stop_reason;
  }
  if (event.type !== "content_block_delta") return;
  // The start of a block may be missing.
  const block = (message.content[event.index] ??= { type: "text" });
  const { delta } = event;
  if (delta.type === "text_delta") block.text = (block.text ?? "") + delta.text;
  if (delta.type === "thinking_delta") block.thinking = (block.thinking ?? "") + delta.thinking;
  if (delta.type === "signature_delta") block.signature = delta.signature;
  if (delta.type === "input_json_delta") block.pieces = (block.pieces ?? "") + delta.partial_json;
}

/** The arguments of a tool come in pieces of JSON. */
function whole({ pieces, ...block }: Loose): Loose {
  return pieces === undefined || pieces === "" ? block : { ...block, input: argumentsOf(pieces) };
}
