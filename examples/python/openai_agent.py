"""Two agents with OpenAI's SDK: the first looks up an order, the second refunds it, if a person agrees."""

import json

import model
import openai
import runtraced
from runtraced import traced

SCRIPT = [
    model.openai_answer(None, ("call_1", "look_up_order", {"order": "1234"})),
    model.openai_answer(None, ("call_2", "refund", {"order": "1234", "amount": 49.0})),
    model.openai_answer("EUR 49.00 are on their way to you."),
]


def tool(name, **properties):
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


@traced(kind="tool")
def look_up_order(order):
    return {"order": order, "item": "kettle", "paid": 49.0, "state": "broken"}


@traced(kind="tool")
def refund(order, amount):
    print(f"asking a person: Refund EUR {amount:.2f} for order {order}?", flush=True)
    decision = runtraced.approval(f"Refund EUR {amount:.2f}?", {"order": order}, action="refund").wait(timeout=600)
    print(decision.status, flush=True)
    return f"refunded EUR {amount:.2f}" if decision else f"not refunded: {decision.status}"


def refund_agent(client, order):
    """A sub-agent. Its run is a hand-off in the run of its caller."""
    with runtraced.run("refunds", input=order) as run:
        messages = [{"role": "user", "content": f"Refund this order if it is broken: {json.dumps(order)}"}]
        tools = [tool("refund", order="string", amount="number")]
        answer = client.chat.completions.create(model="gpt-5", messages=messages, tools=tools).choices[0].message
        call = answer.tool_calls[0]
        result = refund(**json.loads(call.function.arguments))
        messages += [answer, {"role": "tool", "tool_call_id": call.id, "content": result}]
        run.output = client.chat.completions.create(model="gpt-5", messages=messages, tools=tools).choices[0].message.content
        return run.output


def main():
    with model.serve(*SCRIPT) as url:
        client = runtraced.wrap(openai.OpenAI(base_url=url, api_key="none"))
        question = "My kettle is broken. I want my money back. Order 1234."
        with runtraced.run("support", input=question, session="ticket-77", user="ada") as run:
            messages = [{"role": "user", "content": question}]
            tools = [tool("look_up_order", order="string")]
            answer = client.chat.completions.create(model="gpt-5", messages=messages, tools=tools).choices[0].message
            order = look_up_order(**json.loads(answer.tool_calls[0].function.arguments))
            run.output = refund_agent(client, order)
    print("answer:", run.output)
    print("not settled:", runtraced.flush(10))
    print("run:", run.id)


if __name__ == "__main__":
    main()
