// `wrap(new Anthropic())`.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import * as rt from "../dist/esm/node.js";
import { claude, Model } from "./support/model.mjs";
import { Sink, value } from "./support/sink.mjs";

let sink;
let model;
let anthropic;

beforeEach(async () => {
  sink = await Sink.start();
  model = await Model.start();
  rt.configure();
  rt.configure({ endpoint: sink.url });
  anthropic = rt.wrap(new Anthropic({ apiKey: "sk-test", baseURL: model.url }));
});

afterEach(async () => {
  await sink.close();
  await model.close();
});

const ask = (messages) => ({ model: "claude-sonnet-4-5", max_tokens: 100, system: "Be brief.", messages });
const hi = [{ role: "user", content: "How is Acme?" }];

async function recorded() {
  assert.equal(await rt.flush(5000), 0);
  return {
    steps: sink.of("step_started").map(({ details }) => [details.name, details.model]),
    ends: sink.of("step_ended").map(({ status, error }) => (error === undefined ? status : [status, error])),
    outputs: sink.of("step_ended").map((end) => end.output_json && value(end.output_json)),
    messages: sink.of("message_appended").map(({ role, content, thinking, tool_calls_json, metadata_json }) => {
      const { response_id, finish_reason, ...metadata } = metadata_json ?? {};
      return JSON.parse(JSON.stringify({ role: role.slice(13), content, thinking, calls: tool_calls_json, ...metadata }));
    }),
    tokens: sink.of("token_count").map(({ token_count_id, run_id, step_id, ...counts }) => counts),
  };
}

test("thinking, parallel tools and their results, and cached tokens", async () => {
  const blocks = [
    { type: "thinking", thinking: "I need both.", signature: "s" },
    { type: "tool_use", id: "tu_1", name: "usage", input: { customer: "acme" } },
    { type: "tool_use", id: "tu_2", name: "tickets", input: {} },
  ];
  const usage = { input_tokens: 10, cache_read_input_tokens: 512, cache_creation_input_tokens: 100, output_tokens: 40 };
  model.script.push(claude(blocks, usage), claude([{ type: "text", text: "412 seats, one ticket." }]));
  await rt.run("a", async () => {
    const first = await anthropic.messages.create(ask(hi));
    const results = [
      { type: "tool_result", tool_use_id: "tu_1", content: "412" },
      { type: "tool_result", tool_use_id: "tu_2", content: [{ type: "text", text: "one" }] },
    ];
    await anthropic.messages.create(ask([...hi, { role: "assistant", content: first.content }, { role: "user", content: results }]));
  });
  const { steps, messages, tokens } = await recorded();
  assert.deepEqual(steps, [["messages", "claude-sonnet-4-5"], ["messages", "claude-sonnet-4-5"]]);
  assert.deepEqual(messages, [
    { role: "SYSTEM", content: "Be brief." },
    { role: "USER", content: "How is Acme?" },
    { role: "ASSISTANT", thinking: "I need both.", calls: [{ id: "tu_1", name: "usage", arguments: { customer: "acme" } }, { id: "tu_2", name: "tickets", arguments: {} }] },
    { role: "TOOL", content: "412", tool_call_id: "tu_1" },
    { role: "TOOL", content: "one", tool_call_id: "tu_2" },
    { role: "ASSISTANT", content: "412 seats, one ticket." },
  ]);
  assert.deepEqual(tokens[0], { model: "claude-sonnet-4-5-20250929", input: 622, output: 40, cache_read: 512, cache_write: 100 });
});

const EVENTS = [
  { type: "message_start", message: { ...claude([]).body, usage: { input_tokens: 25, output_tokens: 1, cache_read_input_tokens: 5 } } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Look" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "ing." } },
  { type: "content_block_stop", index: 0 },
  { type: "content_block_start", index: 1, content_block: { type: "tool_use", id: "tu_1", name: "usage", input: {} } },
  { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: '{"customer":' } },
  { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: '"acme"}' } },
  { type: "content_block_stop", index: 1 },
  { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 15 } },
  { type: "message_stop" },
];

for (const [how, consume] of Object.entries({
  "as events": async () => { for await (const _ of await anthropic.messages.create({ ...ask(hi), stream: true })); },
  "with the SDK's helper": async () => {
    const message = await anthropic.messages.stream(ask(hi)).finalMessage();
    assert.deepEqual(message.content[1].input, { customer: "acme" });
  },
})) {
  test(`a stream ${how}`, async () => {
    model.script.push({ events: EVENTS });
    await rt.run("a", consume);
    const { ends, messages, tokens, outputs } = await recorded();
    assert.deepEqual(ends, ["END_STATUS_COMPLETED"]);
    assert.deepEqual(messages.at(-1), { role: "ASSISTANT", content: "Looking.", calls: [{ id: "tu_1", name: "usage", arguments: { customer: "acme" } }] });
    assert.deepEqual(tokens, [{ model: "claude-sonnet-4-5-20250929", input: 30, output: 15, cache_read: 5 }]);
    assert.deepEqual(outputs[0], { content: "Looking.", tool_calls: [{ id: "tu_1", name: "usage", arguments: { customer: "acme" } }] });
  });
}

test("thinking and parallel tools in a stream", async () => {
  const start = (index, content_block) => ({ type: "content_block_start", index, content_block });
  const delta = (index, delta) => ({ type: "content_block_delta", index, delta });
  const stop = (index) => ({ type: "content_block_stop", index });
  model.script.push({ events: [
    EVENTS[0],
    start(0, { type: "thinking", thinking: "", signature: "" }),
    delta(0, { type: "thinking_delta", thinking: "I need " }), delta(0, { type: "thinking_delta", thinking: "both." }), delta(0, { type: "signature_delta", signature: "s" }), stop(0),
    start(1, { type: "tool_use", id: "tu_1", name: "usage", input: {} }), delta(1, { type: "input_json_delta", partial_json: '{"customer":"acme"}' }), stop(1),
    start(2, { type: "tool_use", id: "tu_2", name: "tickets", input: {} }), delta(2, { type: "input_json_delta", partial_json: "" }), stop(2),
    ...EVENTS.slice(-2),
  ] });
  await rt.run("a", () => anthropic.messages.stream(ask(hi)).finalMessage());
  const { messages, tokens } = await recorded();
  assert.deepEqual(messages.at(-1), {
    role: "ASSISTANT", thinking: "I need both.",
    calls: [{ id: "tu_1", name: "usage", arguments: { customer: "acme" } }, { id: "tu_2", name: "tickets", arguments: {} }],
  });
  assert.deepEqual(tokens, [{ model: "claude-sonnet-4-5-20250929", input: 30, output: 15, cache_read: 5 }]);
});

test("a stream that the agent leaves, one that breaks, and one that the model ends with an error", async () => {
  const overloaded = { type: "error", error: { type: "overloaded_error", message: "busy" } };
  const word = { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Wait" } };
  model.script.push({ events: EVENTS }, { events: EVENTS.slice(0, 4), breaks: true }, { events: [...EVENTS.slice(0, 2), word, overloaded] });
  const stream = () => anthropic.messages.create({ ...ask(hi), stream: true });
  await rt.run("a", async () => {
    for await (const event of await stream()) if (event.type === "content_block_delta") break;
    for (let time = 0; time < 2; time += 1) await assert.rejects(async () => { for await (const _ of await stream()); });
  });
  const { ends, messages } = await recorded();
  assert.equal(ends[0], "END_STATUS_COMPLETED");
  assert.deepEqual(ends.slice(1).map(([status]) => status), ["END_STATUS_FAILED", "END_STATUS_FAILED"]);
  assert.match(ends[2][1], /busy/);
  assert.deepEqual(messages.filter(({ role }) => role === "ASSISTANT").map(({ content }) => content), ["Look", "Looking.", "Wait"]);
});

test("structured output is parsed for the agent, and recorded as the model wrote it", async () => {
  model.script.push(claude([{ type: "text", text: '{"seats":412}' }]));
  const schema = { type: "object", properties: { seats: { type: "number" } }, required: ["seats"], additionalProperties: false };
  await rt.run("a", async () => {
    const format = { type: "json_schema", schema, parse: (text) => JSON.parse(text) };
    const message = await anthropic.messages.parse({ ...ask(hi), output_config: { format } });
    assert.deepEqual(message.parsed_output, { seats: 412 });
  });
  const { ends, messages, tokens } = await recorded();
  assert.deepEqual([ends, messages.at(-1).content, tokens.length], [["END_STATUS_COMPLETED"], '{"seats":412}', 1]);
});

test("errors and the SDK's own retries", async () => {
  const overloaded = { status: 529, headers: { "retry-after-ms": "1" }, body: { type: "error", error: { type: "overloaded_error", message: "busy" } } };
  const wrong = { status: 400, body: { type: "error", error: { type: "invalid_request_error", message: "no" } } };
  model.script.push(overloaded, claude([{ type: "text", text: "Fine." }]), wrong);
  await rt.run("a", async () => {
    await anthropic.messages.create(ask(hi));
    await assert.rejects(async () => anthropic.messages.create(ask(hi)), { status: 400 });
  });
  const { ends, tokens } = await recorded();
  assert.equal(ends[0], "END_STATUS_COMPLETED");
  assert.match(ends[1][1], /^BadRequestError: 400/);
  assert.equal(tokens.length, 1);
});
