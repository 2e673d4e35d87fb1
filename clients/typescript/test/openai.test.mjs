// `wrap(new OpenAI())`: each call is a step, with the messages and the tokens that the model truly answered.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import OpenAI from "openai";
import * as rt from "../dist/esm/node.js";
import { chat, chatChunks, Model, toolCall } from "./support/model.mjs";
import { Sink, value } from "./support/sink.mjs";

let sink;
let model;
let openai;

beforeEach(async () => {
  sink = await Sink.start();
  model = await Model.start();
  rt.configure();
  rt.configure({ endpoint: sink.url });
  openai = rt.wrap(new OpenAI({ apiKey: "sk-test", baseURL: `${model.url}/v1`, maxRetries: 2 }));
});

afterEach(async () => {
  await sink.close();
  await model.close();
});

const ask = (content) => ({ model: "gpt-5", messages: [{ role: "user", content }] });

async function recorded() {
  assert.equal(await rt.flush(5000), 0);
  return {
    steps: sink.of("step_started").map(({ details }) => [details.step_type, details.name, details.model]),
    ends: sink.of("step_ended").map(({ status, error }) => (error === undefined ? status : [status, error])),
    outputs: sink.of("step_ended").map((end) => end.output_json && value(end.output_json)),
    messages: sink.of("message_appended").map(({ role, content, thinking, tool_calls_json, metadata_json }) => {
      const { response_id, finish_reason, ...metadata } = metadata_json ?? {};
      const found = { role: role.replace("MESSAGE_ROLE_", ""), content, thinking, calls: tool_calls_json, ...metadata };
      return JSON.parse(JSON.stringify(found));
    }),
    tokens: sink.of("token_count").map(({ token_count_id, run_id, step_id, ...counts }) => counts),
  };
}

test("a call is a step with its messages and tokens", async () => {
  model.script.push(chat({ content: "Fine." }, {
    prompt_tokens: 900, completion_tokens: 40, total_tokens: 940, prompt_tokens_details: { cached_tokens: 512 }, completion_tokens_details: { reasoning_tokens: 8 },
  }));
  await rt.run("a", async () => {
    const answer = await openai.chat.completions.create(ask("How is Acme?"));
    assert.equal(answer.choices[0].message.content, "Fine.");
    assert.equal(answer._request_id, null);
  });
  const { steps, ends, messages, tokens, outputs } = await recorded();
  assert.deepEqual(steps, [["STEP_TYPE_LLM_CALL", "chat.completions", "gpt-5"]]);
  assert.deepEqual(ends, ["END_STATUS_COMPLETED"]);
  assert.deepEqual(messages, [{ role: "USER", content: "How is Acme?" }, { role: "ASSISTANT", content: "Fine." }]);
  assert.deepEqual(tokens, [{ model: "gpt-5-2025-08-07", input: 900, output: 40, cache_read: 512, reasoning: 8 }]);
  assert.deepEqual(outputs, ["Fine."]);
  const [asked, answer] = sink.of("message_appended");
  assert.deepEqual([asked.sighting, asked.believed_new, answer.believed_new], [true, undefined, true]);
  assert.deepEqual(answer.metadata_json, { response_id: "chatcmpl-1", finish_reason: "stop" });
  assert.deepEqual(sink.of("step_started")[0].details.input_json, { messages: [{ role: "user", content: "How is Acme?" }] });
});

test("parallel tools: the history is recorded once, however often it is sent", async () => {
  const calls = [toolCall("call_1", "usage", { customer: "acme" }), toolCall("call_2", "tickets", {})];
  model.script.push(chat({ tool_calls: calls }), chat({ content: "412 seats, one ticket." }));
  await rt.run("a", async () => {
    const messages = [{ role: "developer", content: "Be brief." }, { role: "user", content: "How is Acme?" }];
    const first = await openai.chat.completions.create({ model: "gpt-5", messages });
    messages.push(first.choices[0].message);
    messages.push({ role: "tool", tool_call_id: "call_1", content: "412" }, { role: "tool", tool_call_id: "call_2", content: "1" });
    await openai.chat.completions.create({ model: "gpt-5", messages });
  });
  const { messages } = await recorded();
  assert.deepEqual(messages, [
    { role: "SYSTEM", content: "Be brief." },
    { role: "USER", content: "How is Acme?" },
    { role: "ASSISTANT", calls: [{ id: "call_1", name: "usage", arguments: { customer: "acme" } }, { id: "call_2", name: "tickets", arguments: {} }] },
    { role: "TOOL", content: "412", tool_call_id: "call_1" },
    { role: "TOOL", content: "1", tool_call_id: "call_2" },
    { role: "ASSISTANT", content: "412 seats, one ticket." },
  ]);
});

test("a stream is read along, with exact tokens, and the agent sees what it asked for", async () => {
  const usage = { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 };
  model.script.push(chatChunks([{ role: "assistant", content: "" }, { content: "Fi" }, { content: "ne." }], usage));
  let text = "";
  await rt.run("a", async () => {
    for await (const chunk of await openai.chat.completions.create({ ...ask("hi"), stream: true })) {
      text += chunk.choices[0].delta.content ?? "";
    }
  });
  assert.equal(text, "Fine.");
  assert.deepEqual(model.requests[0].body.stream_options, { include_usage: true });
  const { messages, tokens } = await recorded();
  assert.deepEqual(messages.at(-1), { role: "ASSISTANT", content: "Fine." });
  assert.deepEqual(tokens, [{ model: "gpt-5-2025-08-07", input: 7, output: 2 }]);
});

test("a stream of parallel tools is put together", async () => {
  const piece = (index, more) => ({ tool_calls: [{ index, ...more }] });
  model.script.push(chatChunks([
    { role: "assistant", ...piece(0, { id: "call_1", type: "function", function: { name: "usage", arguments: "" } }) },
    piece(1, { id: "call_2", type: "function", function: { name: "tickets", arguments: '{"op' } }),
    piece(0, { function: { arguments: '{"customer":' } }), piece(1, { function: { arguments: 'en":true}' } }), piece(0, { function: { arguments: '"acme"}' } }),
  ]));
  await rt.run("a", () => openai.chat.completions.stream(ask("hi")).finalChatCompletion());
  const { messages, tokens, ends } = await recorded();
  assert.deepEqual(ends, ["END_STATUS_COMPLETED"]);
  assert.deepEqual(messages.at(-1).calls, [
    { id: "call_1", name: "usage", arguments: { customer: "acme" } }, { id: "call_2", name: "tickets", arguments: { open: true } },
  ]);
  assert.deepEqual(tokens, []);
});

test("a stream that the agent leaves, and one that breaks, end their steps with what came", async () => {
  model.script.push(chatChunks([{ content: "one" }, { content: "two" }]), { ...chatChunks([{ content: "half" }]), breaks: true });
  model.script[1].events.splice(1);
  await rt.run("a", async () => {
    for await (const _ of await openai.chat.completions.create({ ...ask("hi"), stream: true })) break;
    await assert.rejects(async () => {
      for await (const _ of await openai.chat.completions.create({ ...ask("hi"), stream: true }));
    });
  });
  const { ends, messages } = await recorded();
  assert.equal(ends[0], "END_STATUS_COMPLETED");
  assert.equal(ends[1][0], "END_STATUS_FAILED");
  assert.deepEqual(messages.filter(({ role }) => role === "ASSISTANT").map(({ content }) => content), ["one", "half"]);
});

test("structured output is parsed for the agent, and recorded as the model wrote it", async () => {
  model.script.push(chat({ content: '{"seats":412}' }));
  const schema = { type: "object", properties: { seats: { type: "number" } }, required: ["seats"], additionalProperties: false };
  await rt.run("a", async () => {
    const answer = await openai.chat.completions.parse({
      ...ask("hi"), response_format: { type: "json_schema", json_schema: { name: "seats", strict: true, schema } },
    });
    assert.ok(answer.choices[0].message.content);
  });
  const { messages, ends } = await recorded();
  assert.deepEqual([ends.length, messages.at(-1).content], [1, '{"seats":412}']);
});

test("what the SDK tries again by itself is one step, with the answer that came", async () => {
  model.script.push({ status: 500, headers: { "retry-after-ms": "1" }, body: { error: { message: "oops" } } }, chat({ content: "Fine." }));
  await rt.run("a", () => openai.chat.completions.create(ask("hi")));
  const { steps, ends, tokens } = await recorded();
  assert.equal(model.requests.length, 2);
  assert.deepEqual([steps.length, ends, tokens.length], [1, ["END_STATUS_COMPLETED"], 1]);
});

test("an error is the agent's, and the step's", async () => {
  model.script.push({ status: 400, body: { error: { message: "no such model" } } });
  await rt.run("a", () => assert.rejects(async () => openai.chat.completions.create(ask("hi")), { status: 400 }));
  const { ends } = await recorded();
  assert.deepEqual(ends, [["END_STATUS_FAILED", "BadRequestError: 400 no such model"]]);
});

test("the raw response, and both, are as without wrap", async () => {
  model.script.push(chat({ content: "raw" }), chat({ content: "both" }));
  await rt.run("a", async () => {
    const raw = await openai.chat.completions.create(ask("hi")).asResponse();
    assert.equal((await raw.json()).choices[0].message.content, "raw");
    const { data, response } = await openai.chat.completions.create(ask("hi")).withResponse();
    assert.deepEqual([data.choices[0].message.content, response.status], ["both", 200]);
    await sleep(1);
  });
  const { ends, tokens } = await recorded();
  assert.deepEqual([ends, tokens.length], [["END_STATUS_COMPLETED", "END_STATUS_COMPLETED"], 1]);
});

const RESPONSE = {
  id: "resp_1", object: "response", created_at: 1767225600, status: "completed", model: "gpt-5-2025-08-07", parallel_tool_calls: true, tools: [],
  output: [
    { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "I need the usage." }] },
    { type: "function_call", id: "fc_1", call_id: "call_1", name: "usage", arguments: '{"customer":"acme"}', status: "completed" },
  ],
  usage: { input_tokens: 120, input_tokens_details: { cached_tokens: 96 }, output_tokens: 18, output_tokens_details: { reasoning_tokens: 4 }, total_tokens: 138 },
};

test("the Responses API, with its history of items", async () => {
  const said = { type: "message", id: "msg_1", role: "assistant", status: "completed", content: [{ type: "output_text", text: "412", annotations: [] }] };
  model.script.push({ body: RESPONSE }, { body: { ...RESPONSE, output: [said] } });
  await rt.run("a", async () => {
    const input = [{ role: "user", content: "How is Acme?" }];
    const first = await openai.responses.create({ model: "gpt-5", instructions: "Be brief.", input });
    input.push(...first.output, { type: "function_call_output", call_id: "call_1", output: "412" });
    const second = await openai.responses.create({ model: "gpt-5", instructions: "Be brief.", input });
    assert.equal(second.output_text, "412");
  });
  const { messages, tokens, steps, outputs } = await recorded();
  assert.deepEqual(outputs[0], { tool_calls: [{ id: "call_1", name: "usage", arguments: { customer: "acme" } }] });
  assert.deepEqual(steps.map(([, name]) => name), ["responses", "responses"]);
  assert.deepEqual(messages, [
    { role: "SYSTEM", content: "Be brief." },
    { role: "USER", content: "How is Acme?" },
    { role: "ASSISTANT", thinking: "I need the usage.", calls: [{ id: "call_1", name: "usage", arguments: { customer: "acme" } }] },
    { role: "TOOL", content: "412", tool_call_id: "call_1" },
    { role: "ASSISTANT", content: "412" },
  ]);
  assert.deepEqual(tokens[0], { model: "gpt-5-2025-08-07", input: 120, output: 18, cache_read: 96, reasoning: 4 });
});

test("a stream of the Responses API, completed and failed", async () => {
  const created = { type: "response.created", response: { ...RESPONSE, status: "in_progress", output: [], usage: null } };
  model.script.push(
    { events: [created, { type: "response.completed", response: RESPONSE }] },
    { events: [created, { type: "response.failed", response: { ...RESPONSE, status: "failed", output: [], usage: null, error: { code: "x", message: "the model broke" } } }] },
  );
  await rt.run("a", async () => {
    for (let turn = 0; turn < 2; turn += 1) {
      for await (const _ of await openai.responses.create({ model: "gpt-5", input: "hi", stream: true }));
    }
  });
  const { ends, tokens } = await recorded();
  assert.deepEqual(ends, ["END_STATUS_COMPLETED", ["END_STATUS_FAILED", "the model broke"]]);
  assert.equal(tokens.length, 1);
});

test("embeddings count their tokens, without their vectors", async () => {
  model.script.push({ body: { object: "list", model: "text-embedding-3-small", data: [{ object: "embedding", index: 0, embedding: [0.5, 0.25] }], usage: { prompt_tokens: 4, total_tokens: 4 } } });
  await rt.run("a", () => openai.embeddings.create({ model: "text-embedding-3-small", input: "hi", encoding_format: "float" }));
  const { outputs, tokens } = await recorded();
  assert.deepEqual([outputs[0], tokens[0].input], [{ embeddings: 1 }, 4]);
});

test("outside a run, calls are not touched; wrapping twice records once; copies are wrapped", async () => {
  model.script.push(chat({ content: "1" }), chat({ content: "2" }), chat({ content: "3" }));
  await openai.chat.completions.create(ask("outside"));
  assert.equal(rt.wrap(openai), openai);
  await rt.run("a", async () => {
    await openai.chat.completions.create(ask("inside"));
    await openai.withOptions({ timeout: 1000 }).chat.completions.create(ask("copy"));
  });
  const { steps } = await recorded();
  assert.equal(steps.length, 2);
});

test("two runs of a session tell its messages once, under ids that every client derives", async () => {
  model.script.push(chat({ content: "Fine." }), chat({ content: "Grüße" }));
  const session = "0194bb0b-0000-7000-8000-0000000000aa";
  const history = [{ role: "user", content: "How is Acme?" }];
  await rt.run("a", { session }, () => openai.chat.completions.create({ model: "gpt-5", messages: history }));
  history.push({ role: "assistant", content: "Fine." }, { role: "user", content: "Grüße?" });
  await rt.run("a", { session }, () => openai.chat.completions.create({ model: "gpt-5", messages: history }));
  const { messages } = await recorded();
  assert.deepEqual(messages.map(({ content }) => content), ["How is Acme?", "Fine.", "Grüße?", "Grüße"]);
  const said = '["user", "Gr\\u00fc\\u00dfe?", null, null]';
  const scope = Buffer.from(session.replaceAll("-", ""), "hex");
  const digest = createHash("sha256").update(scope).update("message\0").update(said).update(Buffer.from([0, 0, 0, 1])).digest();
  digest[6] = (digest[6] & 0x0f) | 0x80;
  digest[8] = (digest[8] & 0x3f) | 0x80;
  const id = Buffer.concat([scope.subarray(0, 6), digest.subarray(6, 16)]).toString("hex");
  assert.equal(sink.of("message_appended")[2].message_id.replaceAll("-", ""), id);
});

test("a server that refuses the question for tokens gets the agent's own request", async () => {
  model.script.push({ status: 400, body: { error: { message: "unknown field: stream_options" } } }, chatChunks([{ content: "Fine." }]));
  let text = "";
  await rt.run("a", async () => {
    for await (const chunk of await openai.chat.completions.create({ ...ask("hi"), stream: true })) text += chunk.choices[0].delta.content ?? "";
  });
  assert.equal(text, "Fine.");
  assert.equal(model.requests[1].body.stream_options, undefined);
  assert.deepEqual((await recorded()).ends, ["END_STATUS_COMPLETED"]);
});

test("media in a request becomes its size", async () => {
  model.script.push(chat({ content: "A cat." }));
  const url = `data:image/png;base64,${"A".repeat(10_000)}`;
  const content = [{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url } }];
  await rt.run("a", () => openai.chat.completions.create(ask(content)));
  const { messages } = await recorded();
  assert.equal(messages[0].content, "What is it?\n[image_url]");
  const input = sink.of("step_started")[0].details.input_json;
  assert.deepEqual(input.messages[0].content[1].image_url, { url: `[image/png, ${url.length} characters]` });
  assert.equal(model.requests[0].body.messages[0].content[1].image_url.url, url);
});

test("a client may belong to a run, where no context is carried along", async () => {
  model.script.push(chat({ content: "Fine." }));
  const run = rt.startRun("a");
  const own = rt.wrap(new OpenAI({ apiKey: "sk-test", baseURL: `${model.url}/v1` }), { parent: run });
  await own.chat.completions.create(ask("hi"));
  run.end();
  const { steps, messages } = await recorded();
  assert.deepEqual([steps.length, messages.length], [1, 2]);
});
