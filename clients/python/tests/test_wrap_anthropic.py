"""Anthropic's SDK against a scripted model."""

from __future__ import annotations

import asyncio
import json
import os
import unittest
from typing import Any

import runtraced
from tests.case import ClientTest
from tests.model import Model, claude

try:
    import anthropic
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    raise unittest.SkipTest("anthropic is not installed") from None

TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
# Fresh, cached and newly cached input together.
TOKENS = {"model": "claude-sonnet-5-2026", "input": 116, "output": 14, "cache_read": 64, "cache_write": 32}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(identifier: str, city: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": "weather", "input": {"city": city}}


class WrapAnthropic(ClientTest):
    def client(self, *script: Any) -> Any:
        self.scripted = Model(*script)
        self.addCleanup(self.scripted.close)
        made = anthropic.Anthropic(api_key="none", base_url=self.scripted.url, max_retries=2)
        self.addCleanup(made.close)
        return runtraced.wrap(made)

    def ask(self, client: Any, messages: Any = "hello", **options: Any) -> Any:
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return client.messages.create(model="claude-sonnet-5", max_tokens=99, messages=messages, **options)

    def tokens(self) -> list[dict[str, Any]]:
        ids = ("token_count_id", "run_id", "step_id")
        return [{name: value for name, value in one.items() if name not in ids} for one in self.sink.of("token_count")]

    def messages(self) -> list[tuple[str, Any]]:
        return [(one["role"][13:].lower(), one.get("content")) for one in self.sink.of("message_appended")]

    def test_parallel_tools_and_their_results(self) -> None:
        client = self.client(claude(text("I look."), use("toolu_1", "Bonn"), use("toolu_2", "Kiel")), claude(text("Sun and rain.")))
        with runtraced.run("a"):
            first = self.ask(client, "Weather?", system="Be brief.", tools=TOOLS)
            results = [{"type": "tool_result", "tool_use_id": one, "content": found} for one, found in (("toolu_1", "sun"), ("toolu_2", "rain"))]
            history = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
            self.ask(client, history, system="Be brief.", tools=TOOLS)
        self.flush()
        expected = [("system", "Be brief."), ("user", "Weather?"), ("assistant", "I look."), ("tool", "sun"), ("tool", "rain"), ("assistant", "Sun and rain.")]
        self.assertEqual(self.messages(), expected)
        called = self.sink.of("message_appended")[2]["tool_calls_json"]
        self.assertEqual([(one["id"], one["arguments"]) for one in called], [("toolu_1", {"city": "Bonn"}), ("toolu_2", {"city": "Kiel"})])
        self.assertEqual(self.tokens(), [TOKENS, TOKENS])
        outputs = [one["output_json"] for one in self.sink.of("step_ended")]
        self.assertEqual(outputs[0]["content"], "I look.")
        self.assertEqual(json.loads(outputs[1]), "Sun and rain.")

    def test_streams(self) -> None:
        thought = {"type": "thinking", "thinking": "Two cities.", "signature": "x"}
        client = self.client(claude(thought, text("I look."), use("toolu_1", "Bonn")), claude(text("Hello, you.")))
        with runtraced.run("a"):
            with client.messages.stream(model="claude-sonnet-5", max_tokens=99, messages=[{"role": "user", "content": "hello"}], tools=TOOLS) as stream:
                self.assertEqual("".join(stream.text_stream), "I look.")
                self.assertEqual(stream.get_final_message().usage.output_tokens, 14)
            raw = self.ask(client, "again", stream=True)
            self.assertIsInstance(raw, anthropic.Stream)
            self.assertEqual([event.type for event in raw][-1], "message_stop")
        self.flush()
        self.assertEqual(self.tokens(), [TOKENS, TOKENS])
        answer = self.sink.of("message_appended")[1]
        self.assertEqual((answer["content"], answer["thinking"]), ("I look.", "Two cities."))
        self.assertEqual(answer["tool_calls_json"], [{"id": "toolu_1", "name": "weather", "arguments": {"city": "Bonn"}}])
        self.assertEqual(answer["metadata_json"], {"response_id": "msg_1", "finish_reason": "tool_use"})

    def test_retries_and_errors(self) -> None:
        client = self.client(500, claude(text("At last.")), 400)
        with runtraced.run("a"):
            self.ask(client)
            with self.assertRaises(anthropic.BadRequestError):
                self.ask(client)
        self.flush()
        self.assertEqual(len(self.scripted.requests), 3)
        self.assertEqual([one["status"][11:] for one in self.sink.of("step_ended")], ["COMPLETED", "FAILED"])
        self.assertEqual(self.tokens(), [TOKENS])

    def test_the_async_client(self) -> None:
        model = Model(claude(text("one")), claude(text("two three")))
        self.addCleanup(model.close)

        async def agent() -> None:
            async with anthropic.AsyncAnthropic(api_key="none", base_url=model.url) as made:
                client = runtraced.wrap(made)
                with runtraced.run("a"):
                    await self.ask(client)
                    async with client.messages.stream(model="claude-sonnet-5", max_tokens=99, messages=[{"role": "user", "content": "more"}]) as stream:
                        self.assertEqual("".join([piece async for piece in stream.text_stream]), "two three")

        asyncio.run(agent())
        self.flush()
        self.assertEqual(self.tokens(), [TOKENS, TOKENS])
        self.assertEqual(self.messages(), [("user", "hello"), ("assistant", "one"), ("user", "more"), ("assistant", "two three")])
