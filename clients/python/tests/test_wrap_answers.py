"""Answers in unusual forms: raw responses, answers that failed, streams of other servers."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import unittest
from typing import Any

import runtraced
from tests.case import ClientTest
from tests.model import Model, calls, chat, claude, response, says

try:
    import anthropic
    import openai
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    raise unittest.SkipTest("openai or anthropic is not installed") from None

HELLO = [{"role": "user", "content": "hello"}]
ASK: dict[str, Any] = {"model": "gpt-5", "messages": HELLO}
CLAUDE: dict[str, Any] = {"model": "claude-sonnet-5", "max_tokens": 9, "messages": HELLO}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


class Answers(ClientTest):
    def clients(self, *script: Any) -> tuple[Any, Any]:
        """Clients of both SDKs for one model."""
        model = Model(*script)
        self.addCleanup(model.close)
        one = openai.OpenAI(api_key="none", base_url=model.url, max_retries=0)
        two = anthropic.Anthropic(api_key="none", base_url=model.url, max_retries=0)
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        return runtraced.wrap(one), runtraced.wrap(two)

    def outputs(self) -> list[tuple[str, Any, Any]]:
        """Status, output and error of each call, whose tokens are counted."""
        self.flush()
        ends = self.sink.of("step_ended")
        self.assertEqual(len(self.sink.of("step_started")), len(ends))
        values = [one.get("output_json") for one in ends]
        values = [json.loads(value) if isinstance(value, str) else value for value in values]
        return [(one["status"][11:], value, one.get("error")) for one, value in zip(ends, values)]

    def chunks(self, *deltas: dict[str, Any]) -> list[dict[str, Any]]:
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]

    # Raw responses.

    def test_raw_responses(self) -> None:
        client, other = self.clients(chat("one"), response(says("two")), claude(text("three")))
        with runtraced.run("a"):
            raw = client.chat.completions.with_raw_response.create(**ASK)
            self.assertEqual(raw.parse().choices[0].message.content, "one")
            client.responses.with_raw_response.create(model="gpt-5", input="hello")  # nobody parses it
            raw = other.messages.with_raw_response.create(**CLAUDE)
            self.assertEqual(raw.parse().content[0].text, "three")
        self.assertEqual(self.outputs(), [("COMPLETED", words, None) for words in ("one", "two", "three")])
        self.assertEqual([one["output"] for one in self.sink.of("token_count")], [18, 12, 14])

    def test_raw_responses_that_are_streamed(self) -> None:
        client, other = self.clients(chat("one two"), chat("three"), claude(text("four")), response(says("five")))
        with runtraced.run("a"):
            with client.chat.completions.with_streaming_response.create(**ASK) as raw:
                self.assertEqual(json.loads(raw.read())["choices"][0]["message"]["content"], "one two")
            with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as raw:
                lines = [line for line in raw.iter_lines() if line]
                self.assertNotIn("usage", "".join(lines), "nobody has asked for it")
            with other.messages.with_streaming_response.create(**CLAUDE, stream=True) as raw:
                self.assertEqual([event.type for event in raw.parse()][-1], "message_stop")
            stream = client.responses.with_raw_response.create(model="gpt-5", input="hello", stream=True).parse()
            self.assertEqual([event.type for event in stream][-1], "response.completed")
        wanted = ["one two", "three", "four", "five"]
        self.assertEqual(self.outputs(), [("COMPLETED", words, None) for words in wanted])
        self.assertEqual([one["output"] for one in self.sink.of("token_count")], [18, 14, 12])

    def test_raw_responses_of_async_clients(self) -> None:
        model = Model(chat("one"), chat("two"), claude(text("three")), claude(text("four")))
        self.addCleanup(model.close)

        async def agent() -> None:
            async with openai.AsyncOpenAI(api_key="none", base_url=model.url) as made:
                client = runtraced.wrap(made)
                await client.chat.completions.with_raw_response.create(**ASK)
                async with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as raw:
                    self.assertTrue([line async for line in raw.iter_lines()])
            async with anthropic.AsyncAnthropic(api_key="none", base_url=model.url) as made_too:
                other = runtraced.wrap(made_too)
                async with other.messages.with_streaming_response.create(**CLAUDE) as raw_too:
                    self.assertEqual((await raw_too.json())["content"], [text("three")])
                await other.messages.with_raw_response.create(**CLAUDE)

        with runtraced.run("a"):
            asyncio.run(agent())
        wanted = ["one", "two", "three", "four"]
        self.assertEqual(self.outputs(), [("COMPLETED", words, None) for words in wanted])

    def test_a_raw_response_that_is_not_read(self) -> None:
        client, _ = self.clients(chat("one"), chat("two"))
        with runtraced.run("a"):
            with client.chat.completions.with_streaming_response.create(**ASK):
                pass
            raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
            del raw
            gc.collect()
        self.assertEqual(self.outputs(), [("COMPLETED", None, None)] * 2)

    # Answers that are none.

    def test_responses_that_failed(self) -> None:
        failed = {**response(), "status": "failed", "error": {"code": "server_error", "message": "I am tired."}}
        cut = {**response(says("Half")), "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        client, _ = self.clients(failed, cut, {**cut, "incomplete_details": None})
        with runtraced.run("a"):
            for _ in range(3):
                client.responses.create(model="gpt-5", input="hello")
        self.assertEqual(
            self.outputs(),
            [("FAILED", None, "failed: server_error: I am tired."), ("FAILED", "Half", "incomplete: max_output_tokens"),
             ("FAILED", "Half", "incomplete")],
        )  # fmt: skip
        self.assertEqual(len(self.sink.of("token_count")), 3)

    def test_streams_of_responses_that_failed(self) -> None:
        failed = {**response(), "status": "failed", "error": {"code": "server_error", "message": "I am tired."}}
        cut = {**response(says("Half")), "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        begun = {"type": "response.created", "sequence_number": 0, "response": {**response(), "status": "in_progress"}}
        client, _ = self.clients(
            [begun, {"type": "response.failed", "sequence_number": 1, "response": failed}],
            [begun, {"type": "response.incomplete", "sequence_number": 1, "response": cut}],
            [begun, {"type": "error", "sequence_number": 1, "code": "overloaded", "message": "Later.", "param": None}],
        )
        with runtraced.run("a"):
            for _ in range(3):
                with client.responses.with_raw_response.create(model="gpt-5", input="hello", stream=True).parse() as stream:
                    list(stream)
        self.assertEqual(
            self.outputs(),
            [("FAILED", None, "failed: server_error: I am tired."), ("FAILED", "Half", "incomplete: max_output_tokens"),
             ("FAILED", None, "failed: overloaded: Later.")],
        )  # fmt: skip

    def test_an_answer_that_is_an_error(self) -> None:
        broken = {**chat("Half"), "error": {"code": 502, "message": "The provider is away."}}
        client, _ = self.clients(broken)
        with runtraced.run("a"):
            client.chat.completions.create(**ASK)
        self.assertEqual(self.outputs(), [("FAILED", "Half", "502: The provider is away.")])

    def test_the_thinking_of_an_answer_that_got_no_further(self) -> None:
        thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hmm."}]}
        cut = {**response(thought), "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        client, _ = self.clients(cut)
        with runtraced.run("a"):
            client.responses.create(model="gpt-5", input="hello")
        self.flush()
        self.assertEqual([one.get("thinking") for one in self.sink.of("message_appended")], [None, "Hmm."])

    # Streams of other servers.

    def test_streamed_tool_calls_that_all_have_the_index_0(self) -> None:
        def part(index: int, identifier: Any, name: Any, arguments: str) -> dict[str, Any]:
            function = {"name": name, "arguments": arguments}
            return {"tool_calls": [{"index": index, "id": identifier, "type": "function", "function": function}]}

        def wanted(*found: tuple[str, Any]) -> Any:
            return {"tool_calls": [{"id": one, "name": "weather", "arguments": arguments} for one, arguments in found]}

        client, _ = self.clients(
            self.chunks(part(0, "a", "weather", '{"n":'), part(0, None, None, "1}"), part(0, "b", "weather", "{}")),
            self.chunks(part(0, "a", "weather", ""), part(1, "b", "weather", ""), part(0, "a", None, "[1]"), part(1, "b", None, "[2]")),
        )
        with runtraced.run("a"):
            for _ in range(2):
                list(client.chat.completions.create(**ASK, stream=True))
        outputs = [output for _, output, _ in self.outputs()]
        self.assertEqual(outputs, [wanted(("a", {"n": 1}), ("b", {})), wanted(("a", [1]), ("b", [2]))])

    def test_streamed_reasoning(self) -> None:
        client, _ = self.clients(*[
            self.chunks({"role": "assistant", name: "Let me "}, {name: "see."}, {"content": "Yes."})
            for name in ("reasoning", "reasoning_content")
        ])
        with runtraced.run("a"):
            for _ in range(2):
                list(client.chat.completions.create(**ASK, stream=True))
        self.flush()
        found = [one for one in self.sink.of("message_appended") if "ASSISTANT" in one["role"]]
        self.assertEqual([(one["content"], one["thinking"]) for one in found], [("Yes.", "Let me see.")] * 2)

    def test_a_stream_of_a_custom_tool(self) -> None:
        custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
        client, _ = self.clients(self.chunks({"tool_calls": [custom]}), response(calls("c", "weather", {})))
        with runtraced.run("a"):
            list(client.chat.completions.create(**ASK, stream=True))
        self.assertEqual(self.outputs()[0][1], {"tool_calls": [{"id": "a", "name": "shell", "arguments": "ls"}]})
