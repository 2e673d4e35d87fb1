// A scripted model: an HTTP server that gives prepared answers to the clients of OpenAI and Anthropic.

import http from "node:http";

export class Model {
  /** The answers to come: `{ status, headers, body }`, or `{ events }` for a stream. */
  script = [];
  requests = [];

  static async start() {
    const model = new Model();
    model.server = http.createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      model.requests.push({ url: request.url, headers: request.headers, body: JSON.parse(Buffer.concat(parts).toString() || "{}") });
      model.#answer(model.script.shift() ?? { status: 500, body: { error: { message: "the script is over" } } }, response);
    });
    await new Promise((done) => model.server.listen(0, "127.0.0.1", done));
    model.server.unref();
    model.url = `http://127.0.0.1:${model.server.address().port}`;
    return model;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  #answer({ status = 200, headers = {}, body, events, breaks }, response) {
    if (events === undefined) {
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(JSON.stringify(body));
      return;
    }
    response.writeHead(status, { "content-type": "text/event-stream", ...headers });
    for (const event of events) {
      const name = event.type && !event.choices ? `event: ${event.type}\n` : "";
      response.write(`${name}data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`);
    }
    if (breaks) setTimeout(() => response.destroy(), 50);
    else response.end();
  }
}

/** An answer of OpenAI's Chat Completions. */
export function chat(message, usage = { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 }) {
  return {
    body: {
      id: "chatcmpl-1", object: "chat.completion", created: 1767225600, model: "gpt-5-2025-08-07",
      choices: [{ index: 0, message: { role: "assistant", content: null, refusal: null, ...message }, finish_reason: "stop" }],
      usage,
    },
  };
}

export function chatChunks(deltas, usage) {
  const chunk = { id: "chatcmpl-2", object: "chat.completion.chunk", created: 1767225600, model: "gpt-5-2025-08-07" };
  const events = deltas.map((delta) => ({ ...chunk, choices: [{ index: 0, delta, finish_reason: null }] }));
  events.push({ ...chunk, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  if (usage) events.push({ ...chunk, choices: [], usage });
  return { events: [...events, "[DONE]"] };
}

/** A call of a tool, as OpenAI writes it. */
export function toolCall(id, name, args) {
  return { id, type: "function", function: { name, arguments: JSON.stringify(args) } };
}

/** An answer of Anthropic's Messages. */
export function claude(content, usage = { input_tokens: 10, output_tokens: 5 }) {
  return {
    body: { id: "msg_1", type: "message", role: "assistant", model: "claude-sonnet-4-5-20250929", content, stop_reason: "end_turn", stop_sequence: null, usage },
  };
}
