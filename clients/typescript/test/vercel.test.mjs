// The middleware for the Vercel AI SDK, with the SDK itself and a scripted model below it.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { generateText, jsonSchema, Output, stepCountIs, streamText, tool, wrapLanguageModel } from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as rt from "../dist/esm/node.js";
import { chat, chatChunks, Model, toolCall } from "./support/model.mjs";
import { Sink, value } from "./support/sink.mjs";

let sink;
let model;
let traced;

beforeEach(async () => {
  sink = await Sink.start();
  model = await Model.start();
  rt.configure();
  rt.configure({ endpoint: sink.url });
  const provider = createOpenAICompatible({ name: "scripted", baseURL: `${model.url}/v1`, apiKey: "sk-secret", includeUsage: true });
  traced = wrapLanguageModel({ model: provider("gpt-5"), middleware: rt.middleware() });
});

afterEach(async () => {
  await sink.close();
  await model.close();
});

async function recorded() {
  assert.equal(await rt.flush(5000), 0);
  return {
    steps: sink.of("step_started").map(({ details }) => [details.step_type, details.name, details.model]),
    inputs: sink.of("step_started").map(({ details }) => details.input_json && value(details.input_json)),
    ends: sink.of("step_ended").map(({ status, error }) => (error === undefined ? status : [status, error])),
    messages: sink.of("message_appended").map(({ role, content, tool_calls_json, metadata_json }) => {
      const { response_id, finish_reason, ...metadata } = metadata_json ?? {};
      return JSON.parse(JSON.stringify({ role: role.slice(13), content, calls: tool_calls_json, ...metadata }));
    }),
    tokens: sink.of("token_count").map(({ input, output, cache_read, reasoning }) => JSON.parse(JSON.stringify({ input, output, cache_read, reasoning }))),
  };
}

const usageTool = tool({
  description: "The seats of a customer",
  inputSchema: jsonSchema({ type: "object", properties: { customer: { type: "string" } }, required: ["customer"] }),
  execute: rt.traced(async ({ customer }) => `412 for ${customer}`, { name: "usage", kind: "tool" }),
});

test("generateText with tools: two calls and a tool between them", async () => {
  model.script.push(
    chat({ tool_calls: [toolCall("call_1", "usage", { customer: "acme" })] }, { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 }),
    chat({ content: "412 seats." }, { prompt_tokens: 30, completion_tokens: 4, total_tokens: 34, prompt_tokens_details: { cached_tokens: 16 }, completion_tokens_details: { reasoning_tokens: 2 } }),
  );
  await rt.run("a", async () => {
    const { text } = await generateText({ model: traced, prompt: "How is Acme?", system: "Be brief.", tools: { usage: usageTool }, stopWhen: stepCountIs(3) });
    assert.equal(text, "412 seats.");
  });
  const { steps, messages, tokens, inputs } = await recorded();
  assert.deepEqual(steps, [
    ["STEP_TYPE_LLM_CALL", "language model", "gpt-5"],
    ["STEP_TYPE_TOOL_CALL", "usage", undefined],
    ["STEP_TYPE_LLM_CALL", "language model", "gpt-5"],
  ]);
  assert.deepEqual(messages, [
    { role: "SYSTEM", content: "Be brief." },
    { role: "USER", content: "How is Acme?" },
    { role: "ASSISTANT", calls: [{ id: "call_1", name: "usage", arguments: { customer: "acme" } }] },
    { role: "TOOL", content: "412 for acme", tool_call_id: "call_1" },
    { role: "ASSISTANT", content: "412 seats." },
  ]);
  assert.deepEqual(tokens.map(({ input, output }) => [input, output]), [[20, 5], [30, 4]]);
  assert.deepEqual([tokens[1].cache_read, tokens[1].reasoning], [16, 2]);
  assert.doesNotMatch(JSON.stringify(inputs), /sk-secret|authorization/i);
});

test("streamText", async () => {
  model.script.push(chatChunks([{ role: "assistant", content: "Fi" }, { content: "ne." }], { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 }));
  let text = "";
  await rt.run("a", async () => {
    for await (const piece of streamText({ model: traced, prompt: "hi" }).textStream) text += piece;
  });
  assert.equal(text, "Fine.");
  const { messages, tokens, ends } = await recorded();
  assert.deepEqual(messages.at(-1), { role: "ASSISTANT", content: "Fine." });
  assert.deepEqual([tokens[0].input, tokens[0].output, ends], [7, 2, ["END_STATUS_COMPLETED"]]);
});

test("parallel tools in a stream: both calls, their results, and the answer", async () => {
  const piece = (index, more) => ({ tool_calls: [{ index, ...more }] });
  model.script.push(
    chatChunks([
      { role: "assistant", ...piece(0, { id: "call_1", type: "function", function: { name: "usage", arguments: '{"customer":' } }) },
      piece(0, { function: { arguments: '"acme"}' } }),
      piece(1, { id: "call_2", type: "function", function: { name: "usage", arguments: '{"customer":"initech"}' } }),
    ], { prompt_tokens: 20, completion_tokens: 9, total_tokens: 29 }),
    chatChunks([{ role: "assistant", content: "Both " }, { content: "have 412." }], { prompt_tokens: 40, completion_tokens: 6, total_tokens: 46 }),
  );
  let text = "";
  await rt.run("a", async () => {
    const { textStream } = streamText({ model: traced, prompt: "How are they?", tools: { usage: usageTool }, stopWhen: stepCountIs(3) });
    for await (const part of textStream) text += part;
  });
  assert.equal(text, "Both have 412.");
  const { steps, messages, tokens, ends } = await recorded();
  assert.deepEqual(steps.map(([, name]) => name).sort(), ["language model", "language model", "usage", "usage"]);
  assert.deepEqual(ends, Array(4).fill("END_STATUS_COMPLETED"));
  assert.deepEqual(messages, [
    { role: "USER", content: "How are they?" },
    { role: "ASSISTANT", calls: [{ id: "call_1", name: "usage", arguments: { customer: "acme" } }, { id: "call_2", name: "usage", arguments: { customer: "initech" } }] },
    { role: "TOOL", content: "412 for acme", tool_call_id: "call_1" },
    { role: "TOOL", content: "412 for initech", tool_call_id: "call_2" },
    { role: "ASSISTANT", content: "Both have 412." },
  ]);
  assert.deepEqual(tokens.map(({ input, output }) => [input, output]), [[20, 9], [40, 6]]);
});

test("structured output is parsed for the agent, and recorded as the model wrote it", async () => {
  model.script.push(chat({ content: '{"seats":412}' }));
  const schema = jsonSchema({ type: "object", properties: { seats: { type: "number" } }, required: ["seats"] });
  await rt.run("a", async () => {
    const { output } = await generateText({ model: traced, prompt: "hi", output: Output.object({ schema }) });
    assert.deepEqual(output, { seats: 412 });
  });
  const { steps, messages, tokens } = await recorded();
  assert.deepEqual([steps.length, messages.at(-1).content], [1, '{"seats":412}']);
  assert.deepEqual([tokens[0].input, tokens[0].output], [12, 3]);
});

test("what the SDK tries again is a step for each call, and counts the tokens of the answer that came", async () => {
  const tired = { status: 503, headers: { "retry-after-ms": "1" }, body: { error: { message: "tired" } } };
  model.script.push(tired, tired, chat({ content: "Fine." }));
  await rt.run("a", async () => assert.equal((await generateText({ model: traced, prompt: "hi", maxRetries: 2 })).text, "Fine."));
  const { ends, messages, tokens } = await recorded();
  assert.equal(model.requests.length, 3);
  assert.deepEqual(ends.map((end) => (Array.isArray(end) ? end[0] : end)), ["END_STATUS_FAILED", "END_STATUS_FAILED", "END_STATUS_COMPLETED"]);
  assert.deepEqual(messages, [{ role: "USER", content: "hi" }, { role: "ASSISTANT", content: "Fine." }]);
  assert.equal(tokens.length, 1);
});

test("a stream that the agent leaves, and one that breaks, end their steps with what came", async () => {
  model.script.push(chatChunks([{ content: "one" }, { content: "two" }]), { ...chatChunks([{ content: "half" }]), breaks: true });
  model.script[1].events.splice(1);
  await rt.run("a", async () => {
    const leaving = new AbortController();
    const left = streamText({ model: traced, prompt: "hi", abortSignal: leaving.signal });
    for await (const _ of left.textStream) break;
    leaving.abort();
    let text = "";
    await assert.rejects(async () => {
      const broken = streamText({ model: traced, prompt: "hi", maxRetries: 0, onError: () => undefined });
      for await (const piece of broken.textStream) text += piece;
    });
    assert.equal(text, "half");
  });
  const { ends, messages } = await recorded();
  assert.deepEqual(ends.map(([status]) => status), ["END_STATUS_FAILED", "END_STATUS_FAILED"]);
  assert.match(ends[0][1], /^AbortError/);
  const said = messages.filter(({ role }) => role === "ASSISTANT").map(({ content }) => content);
  // How much of the first had come when the agent left is up to the network.
  assert.ok("onetwo".startsWith(said[0]) && said[0].startsWith("one"), said[0]);
  assert.equal(said[1], "half");
});

test("errors, outside a run, and a run that is passed", async () => {
  model.script.push({ status: 400, body: { error: { message: "no" } } }, chat({ content: "outside" }), chat({ content: "passed" }));
  await rt.run("a", () => assert.rejects(generateText({ model: traced, prompt: "hi", maxRetries: 0 })));
  assert.equal((await generateText({ model: traced, prompt: "hi" })).text, "outside");
  const run = rt.startRun("b");
  const provider = createOpenAICompatible({ name: "scripted", baseURL: `${model.url}/v1` });
  const own = wrapLanguageModel({ model: provider("gpt-5"), middleware: rt.middleware(run) });
  assert.equal((await generateText({ model: own, prompt: "hi" })).text, "passed");
  run.end();
  const { ends, steps } = await recorded();
  assert.equal(steps.length, 2);
  assert.match(ends[0][1], /AI_APICallError|APICallError/);
});
