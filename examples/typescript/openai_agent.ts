/** Two agents with OpenAI's SDK: the first looks up an order, the second refunds it, if a person agrees. */

import OpenAI from "openai";
import * as rt from "runtraced";

import { answer, withModel } from "./model.js";

type Messages = OpenAI.ChatCompletionMessageParam[];
interface Order {
  order: string;
  item: string;
  paid: number;
}

const SCRIPT = [
  answer(null, { id: "call_1", name: "look_up_order", args: { order: "1234" } }),
  answer(null, { id: "call_2", name: "refund", args: { order: "1234", amount: 49 } }),
  answer("EUR 49.00 are on their way to you."),
];

const orders = rt.traced(async ({ order }: { order: string }): Promise<Order> => ({ order, item: "kettle", paid: 49 }), {
  name: "look_up_order",
  kind: "tool",
});

const refund = rt.traced(
  async ({ order, amount }: { order: string; amount: number }): Promise<string> => {
    console.log(`asking a person: Refund EUR ${amount.toFixed(2)} for order ${order}?`);
    const decision = await rt.approval(`Refund EUR ${amount.toFixed(2)}?`, { order }, { action: "refund" }).wait(600_000);
    console.log(decision.status);
    return decision.approved ? `refunded EUR ${amount.toFixed(2)}` : `not refunded: ${decision.status}`;
  },
  { name: "refund", kind: "tool" },
);

function tool(name: string, properties: Record<string, string>): OpenAI.ChatCompletionTool {
  const schema = Object.fromEntries(Object.entries(properties).map(([key, type]) => [key, { type }]));
  return { type: "function", function: { name, parameters: { type: "object", properties: schema } } };
}

async function ask(client: OpenAI, messages: Messages, tools: OpenAI.ChatCompletionTool[]) {
  const { choices } = await client.chat.completions.create({ model: "gpt-5", messages, tools });
  const message = choices[0]!.message;
  const call = message.tool_calls?.[0] as OpenAI.ChatCompletionMessageFunctionToolCall | undefined;
  return { message, call: call && { id: call.id, args: JSON.parse(call.function.arguments) } };
}

/** A sub-agent. Its run is a hand-off in the run of its caller. */
function refundAgent(client: OpenAI, order: Order): Promise<string> {
  return rt.run("refunds", { input: order }, async (run) => {
    const messages: Messages = [{ role: "user", content: `Refund this order if it is broken: ${JSON.stringify(order)}` }];
    const tools = [tool("refund", { order: "string", amount: "number" })];
    const { message, call } = await ask(client, messages, tools);
    messages.push(message, { role: "tool", tool_call_id: call!.id, content: await refund(call!.args) });
    const said = (await ask(client, messages, tools)).message.content ?? "";
    run.output = said;
    return said;
  });
}

await withModel(SCRIPT, async (baseURL) => {
  const client = rt.wrap(new OpenAI({ baseURL, apiKey: "none" }));
  const question = "My kettle is broken. I want my money back. Order 1234.";
  const run = await rt.run("support", { input: question, session: "ticket-77", user: "ada" }, async (run) => {
    const { call } = await ask(client, [{ role: "user", content: question }], [tool("look_up_order", { order: "string" })]);
    run.output = await refundAgent(client, await orders(call!.args));
    return run;
  });
  console.log("answer:", run.output);
  console.log("not settled:", await rt.flush(10_000));
  console.log("run:", run.id);
});
