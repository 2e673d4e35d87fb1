/** A scripted model, so that the examples need no key: it speaks just enough of OpenAI's Chat Completions. */

import http from "node:http";
import type { AddressInfo } from "node:net";

interface Call {
  id: string;
  name: string;
  args: object;
}

/** An answer of the model: a text, or calls of tools. */
export function answer(content: string | null, ...calls: Call[]): object {
  const toolCalls = calls.map(({ id, name, args }) => ({ id, type: "function", function: { name, arguments: JSON.stringify(args) } }));
  const message = { role: "assistant", content, ...(calls.length > 0 ? { tool_calls: toolCalls } : {}) };
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1767225600,
    model: "gpt-5-scripted",
    choices: [{ index: 0, message, finish_reason: calls.length > 0 ? "tool_calls" : "stop" }],
    usage: { prompt_tokens: 160, completion_tokens: 20, total_tokens: 180, prompt_tokens_details: { cached_tokens: 96 } },
  };
}

/** The same answer in pieces: a text only. */
function* pieces(whole: any): Generator<object> {
  const common = { ...whole, object: "chat.completion.chunk", usage: null };
  for (const word of whole.choices[0].message.content.split(/(?<= )/)) {
    yield { ...common, choices: [{ index: 0, delta: { role: "assistant", content: word }, finish_reason: null }] };
  }
  yield { ...common, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
  yield { ...common, choices: [], usage: whole.usage };
}

/** Calls a function with the base URL of a model that gives these answers, one after another. */
export async function withModel<T>(script: object[], body: (baseURL: string) => Promise<T>): Promise<T> {
  const server = http.createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { stream } = JSON.parse(Buffer.concat(parts).toString());
    const next = script.shift();
    response.writeHead(200, { "content-type": stream ? "text/event-stream" : "application/json" });
    if (stream) for (const piece of pieces(next)) response.write(`data: ${JSON.stringify(piece)}\n\n`);
    response.end(stream ? "data: [DONE]\n\n" : JSON.stringify(next));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  try {
    return await body(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
