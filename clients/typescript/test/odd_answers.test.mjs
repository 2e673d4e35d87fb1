// Answers that other servers give, that fail with the status 200, that end early, or that the agent leaves.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import * as rt from "../dist/esm/node.js";
import { chat, chatChunks, claude, Model, toolCall } from "./support/model.mjs";
import { Sink } from "./support/sink.mjs";

let sink;
let model;
let openai;
let anthropic;

beforeEach(async () => {
  sink = await Sink.start();
  model = await Model.start();
  rt.configure();
  rt.configure({ endpoint: sink.url });
  openai = rt.wrap(new OpenAI({ apiKey: "sk-test", baseURL: `${model.url}/v1`, maxRetries: 0 }));
  anthropic = rt.wrap(new Anthropic({ apiKey: "sk-test", baseURL: model.url, maxRetries: 0 }));
});

afterEach(async () => {
  await rt.flush(5000);
  await sink.close();
  await model.close();
});

const ask = { model: "gpt-5", messages: [{ role: "user", content: "hi" }] };

async function recorded() {
  assert.equal(await rt.flush(5000), 0);
  return {
    ends: sink.of("step_ended").map(({ status, error }) => [status.slice("END_STATUS_".length), error]),
    answers: sink.of("message_appended").filter(({ role }) => role === "MESSAGE_ROLE_ASSISTANT"),
  };
}

const calls = (answers) => answers.at(-1).tool_calls_json;

async function streamed(body, create = (asked) => openai.chat.completions.create(asked)) {
  await rt.run("a", async () => {
    for await (const _ of await create({ ...body, stream: true }));
  });
}

for (const [how, index] of [["the same index", 0], ["no index", undefined]]) {
  test(`a server that gives all calls of tools ${how}`, async () => {
    const piece = (more) => ({ tool_calls: [{ index, ...more }] });
    model.script.push(chatChunks([
      piece({ id: "call_1", function: { name: "usage", arguments: '{"a":' } }), piece({ function: { arguments: "1}" } }),
      piece({ id: "call_2", function: { name: "tickets", arguments: "{}" } }),
    ]));
    await streamed(ask);
    const { answers } = await recorded();
    assert.deepEqual(calls(answers), [{ id: "call_1", name: "usage", arguments: { a: 1 } }, { id: "call_2", name: "tickets", arguments: {} }]);
  });
}

test("numbers that would not stay the same are kept as the model wrote them", async () => {
  const written = '{"id":12345678901234567890}';
  const call = (args) => ({ ...toolCall("call_1", "find", {}), function: { name: "find", arguments: args } });
  model.script.push(chat({ tool_calls: [call(written)] }), chat({ tool_calls: [call('{"id":"1234567890123456\\""}')] }));
  await rt.run("a", async () => {
    await openai.chat.completions.create(ask);
    await openai.chat.completions.create(ask);
  });
  const { answers } = await recorded();
  assert.deepEqual(answers.map(({ tool_calls_json: [{ arguments: args }] }) => args), [written, { id: '1234567890123456"' }]);
});

test("an error with the status 200 fails the step", async () => {
  model.script.push({ body: { error: { message: "no provider is there", code: 502 } } });
  await rt.run("a", () => openai.chat.completions.create(ask));
  const { ends } = await recorded();
  assert.deepEqual(ends, [["FAILED", "no provider is there"]]);
});

const RESPONSE = { id: "resp_1", object: "response", status: "completed", model: "gpt-5-2025-08-07", output: [], usage: null };

test("a response that failed, and one that is incomplete, say so", async () => {
  const thought = { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "Hm." }] };
  model.script.push(
    { body: { ...RESPONSE, status: "failed", error: { code: "server_error", message: "the model broke" } } },
    { body: { ...RESPONSE, status: "incomplete", incomplete_details: { reason: "max_output_tokens" }, output: [thought] } },
  );
  await rt.run("a", async () => {
    for (let time = 0; time < 2; time += 1) await openai.responses.create({ model: "gpt-5", input: "hi" });
  });
  const { ends, answers } = await recorded();
  assert.deepEqual(ends, [["FAILED", "the model broke"], ["COMPLETED", undefined]]);
  assert.equal(answers[0].thinking, "Hm.");
  assert.deepEqual(answers[0].metadata_json, { response_id: "resp_1", finish_reason: "incomplete", incomplete_reason: "max_output_tokens" });
});

test("a stream of the Responses API that the agent leaves has the text so far", async () => {
  const delta = (text) => ({ type: "response.output_text.delta", output_index: 0, content_index: 0, item_id: "msg_1", delta: text });
  model.script.push({ events: [{ type: "response.created", response: { ...RESPONSE, status: "in_progress" } }, delta("Fi"), delta("ne."), delta(" More")] });
  await rt.run("a", async () => {
    let seen = 0;
    for await (const event of await openai.responses.create({ model: "gpt-5", input: "hi", stream: true })) {
      if (event.type.endsWith("delta") && (seen += 1) === 2) break;
    }
  });
  const { answers } = await recorded();
  assert.deepEqual(answers.map(({ content }) => content), ["Fine."]);
});

test("requests with parts that nobody expects keep their name, their model and the rest", async () => {
  const ok = claude([{ type: "text", text: "Fine." }]);
  model.script.push(ok, { body: { ...ok.body, content: null } }, chat({ content: "Fine." }));
  await rt.run("a", async () => {
    const messages = [{ role: "user", content: [{ text: "no type" }, { type: "text", text: "hi" }] }, { role: "user" }];
    await anthropic.messages.create({ model: "claude-sonnet-4-5", max_tokens: 1, messages });
    await anthropic.messages.create({ model: "claude-sonnet-4-5", max_tokens: 1 });
    await openai.chat.completions.create({ model: "gpt-5", messages: [null, { role: "user", content: "hi" }] });
  });
  const { ends } = await recorded();
  assert.equal(ends.length, 3);
  assert.deepEqual(sink.of("step_started").map(({ details }) => [details.name, details.model]), [
    ["messages", "claude-sonnet-4-5"], ["messages", "claude-sonnet-4-5"], ["chat.completions", "gpt-5"],
  ]);
  const said = sink.of("message_appended").filter(({ role }) => role === "MESSAGE_ROLE_USER").map(({ content }) => content);
  assert.deepEqual(said, ["no type\nhi", "hi"]);
  assert.equal(rt.stats().faults, 0);
});

test("a stream that cannot be followed is the agent's all the same", async () => {
  const stream = Object.freeze({ async *[Symbol.asyncIterator]() { yield 1; } });
  const client = rt.wrap({ chat: { completions: { create: async () => stream } } });
  const middleware = rt.middleware();
  await rt.run("a", async () => {
    const seen = [];
    for await (const item of await client.chat.completions.create({ ...ask, stream: true })) seen.push(item);
    assert.deepEqual(seen, [1]);
    const result = await middleware.wrapStream({ doStream: async () => ({ stream: "none" }), params: { prompt: null }, model: {} });
    assert.deepEqual(result, { stream: "none" });
  });
  const { ends } = await recorded();
  assert.deepEqual(ends.map(([status]) => status), ["COMPLETED", "COMPLETED"]);
});

test("an answer of a tool that is no JSON is a text", async () => {
  const result = { type: "tool-result", toolCallId: "c", toolName: "t", output: { type: "json", value: { big: 1n } } };
  const prompt = [{ role: "tool", content: [result] }, { role: "user", content: [{ type: "text", text: "hi" }] }];
  const doGenerate = async () => ({ content: [], usage: {} });
  await rt.run("a", () => rt.middleware().wrapGenerate({ doGenerate, params: { prompt }, model: { modelId: "m" } }));
  assert.equal(await rt.flush(5000), 0);
  assert.deepEqual(sink.of("message_appended").map(({ content }) => content), ['{"big":1}', "hi"]);
  assert.equal(sink.of("step_started")[0].details.model, "m");
});
