"""Two agents with Anthropic's SDK: the first calls two tools at once, the second writes a mail as a stream."""

import asyncio

import anthropic
import model
import runtraced
from runtraced import traced

SCRIPT = [
    model.anthropic_answer(
        "I look at both.",
        ("toolu_1", "usage", {"customer": "acme"}),
        ("toolu_2", "tickets", {"customer": "acme"}),
    ),
    model.anthropic_answer("Dear Dana, you use 412 of 600 seats. Shall we talk about fewer?"),
]
INPUT = {"type": "object", "properties": {"customer": {"type": "string"}}}
TOOLS = [{"name": name, "input_schema": INPUT} for name in ("usage", "tickets")]


@traced(kind="tool")
async def usage(customer):
    await asyncio.sleep(0.05)
    return "412 of 600 seats"


@traced(kind="tool")
async def tickets(customer):
    await asyncio.sleep(0.05)
    return "no open tickets"


async def writer(client, facts):
    """A sub-agent. Its run is a hand-off in the run of its caller."""
    with runtraced.run("writer", input=facts) as run:
        ask = [{"role": "user", "content": f"Write a mail to Dana: {facts}"}]
        async with client.messages.stream(model="claude-sonnet-5", max_tokens=500, messages=ask) as stream:
            run.output = "".join([text async for text in stream.text_stream]).strip()
        return run.output


async def main():
    with model.serve(*SCRIPT) as url:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="none") as plain:
            client = runtraced.wrap(plain)
            with runtraced.run("renewal-assistant", input="Prepare the renewal of Acme.") as run:
                ask = [{"role": "user", "content": "Prepare the renewal of Acme."}]
                answer = await client.messages.create(
                    model="claude-sonnet-5", max_tokens=500, messages=ask, tools=TOOLS
                )
                calls = [block for block in answer.content if block.type == "tool_use"]
                tools = {"usage": usage, "tickets": tickets}
                facts = await asyncio.gather(*(tools[call.name](**call.input) for call in calls))
                mail = await writer(client, "; ".join(facts))
                print("asking a person: Send the mail?", flush=True)
                decision = await runtraced.approval("Send the mail?", {"mail": mail}, action="send").wait_async(600)
                print(decision.status, flush=True)
                run.output = f"sent: {mail}" if decision else f"not sent: {decision.notes}"
    print("answer:", run.output)
    print("not settled:", runtraced.flush(10))
    print("run:", run.id)


if __name__ == "__main__":
    asyncio.run(main())
