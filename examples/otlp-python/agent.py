#!/usr/bin/env python3
"""Two agents of the OpenAI Agents SDK handle a refund.

This file contains no tracing code. `opentelemetry-instrument` loads the
instrumentation, and OTEL_EXPORTER_OTLP_ENDPOINT names the daemon. The model is a
local script (model.py), so you need no API key and no network.
"""

import asyncio

from agents import Agent, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI

import model

QUESTION = "Order 1234 came broken. Can I have my money back?"


@function_tool
def lookup_order(order_id: str) -> str:
    """Looks up an order."""
    return f"order {order_id}: delivered, EUR 49.00"


@function_tool
def refund(order_id: str, amount: float) -> str:
    """Pays money back."""
    return f"refunded EUR {amount:.2f} of order {order_id}"


async def main() -> None:
    with model.serve() as base_url:
        client = AsyncOpenAI(base_url=base_url, api_key="not needed")
        llm = OpenAIResponsesModel("gpt-4o-mini", client)
        refunds = Agent(
            name="Refunds", instructions="You pay back.", model=llm, tools=[refund]
        )
        triage = Agent(
            name="Triage",
            instructions="You find out what happened.",
            model=llm,
            tools=[lookup_order],
            handoffs=[refunds],
        )
        result = await Runner.run(triage, QUESTION)
        print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
