/** Two agents with the Vercel AI SDK: the first calls two tools at once, the second writes a mail as a stream. */

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool, wrapLanguageModel, type LanguageModel } from "ai";
import * as rt from "runtraced";

import { answer, withModel } from "./model.js";

const SCRIPT = [
  answer(null, { id: "call_1", name: "usage", args: { customer: "acme" } }, { id: "call_2", name: "tickets", args: { customer: "acme" } }),
  answer("Acme uses 412 of 600 seats and has no open tickets."),
  answer("Dear Dana, you use 412 of 600 seats. Shall we talk about fewer?"),
];

const inputSchema = jsonSchema<{ customer: string }>({ type: "object", properties: { customer: { type: "string" } }, required: ["customer"] });

const tools = {
  usage: tool({ inputSchema, execute: rt.traced(async ({ customer }: { customer: string }) => `412 of 600 seats at ${customer}`, { name: "usage", kind: "tool" }) }),
  tickets: tool({ inputSchema, execute: rt.traced(async (_: { customer: string }) => "no open tickets", { name: "tickets", kind: "tool" }) }),
};

/** A sub-agent. Its run is a hand-off in the run of its caller. */
function writer(model: LanguageModel, facts: string): Promise<string> {
  return rt.run("writer", { input: facts }, async (run) => {
    let mail = "";
    for await (const piece of streamText({ model, prompt: `Write a mail to Dana: ${facts}` }).textStream) mail += piece;
    run.output = mail;
    return mail;
  });
}

await withModel(SCRIPT, async (baseURL) => {
  const provider = createOpenAICompatible({ name: "scripted", baseURL, includeUsage: true });
  const model = wrapLanguageModel({ model: provider("gpt-5"), middleware: rt.middleware() });
  const task = "Prepare the renewal of Acme.";
  const run = await rt.run("renewal-assistant", { input: task }, async (run) => {
    const { text } = await generateText({ model, prompt: task, tools, stopWhen: stepCountIs(5) });
    const mail = await writer(model, text);
    console.log("asking a person: Send the mail?");
    const decision = await run.approval("Send the mail?", { mail }, { action: "send" }).wait(600_000);
    console.log(decision.status);
    run.output = decision.approved ? `sent: ${mail}` : `not sent: ${decision.notes}`;
    return run;
  });
  console.log("answer:", run.output);
  console.log("not settled:", await rt.flush(10_000));
  console.log("run:", run.id);
});
