"""OpenAI's SDK against a scripted model: what is recorded is what the model answered."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import unittest
from typing import Any

import runtraced
from tests.case import ClientTest
from tests.model import Model, calls, chat, response, says

try:
    import openai
    from pydantic import BaseModel
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    raise unittest.SkipTest("openai is not installed") from None

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
TOKENS = {"model": "gpt-5-2026", "input": 120, "output": 18, "cache_read": 96, "reasoning": 5}


class WrapOpenAI(ClientTest):
    def model(self, *script: Any) -> Model:
        model = Model(*script)
        self.addCleanup(model.close)
        return model

    def client(self, *script: Any, **options: Any) -> Any:
        self.scripted = self.model(*script)
        made = openai.OpenAI(api_key="none", base_url=self.scripted.url, max_retries=2, **options)
        self.addCleanup(made.close)
        return runtraced.wrap(made)

    def tokens(self) -> list[dict[str, Any]]:
        ids = ("token_count_id", "run_id", "step_id")
        return [{name: value for name, value in one.items() if name not in ids} for one in self.sink.of("token_count")]

    def test_tokens_and_messages_belong_to_the_call(self) -> None:
        client = self.client(chat("One."), chat("Two."))
        with runtraced.run("a"), runtraced.step("tool", kind="tool"):
            for _ in range(2):
                client.chat.completions.create(model="gpt-5", messages=HELLO)
        self.flush()
        steps = [one["step_id"] for one in self.sink.of("step_started") if one["details"]["name"] != "tool"]
        self.assertEqual([one["step_id"] for one in self.sink.of("token_count")], steps)
        answers = [one for one in self.sink.of("message_appended") if "ASSISTANT" in one["role"]]
        self.assertEqual([one["step_id"] for one in answers], steps)

    def messages(self) -> list[tuple[str, Any]]:
        return [(one["role"][13:].lower(), one.get("content")) for one in self.sink.of("message_appended")]

    def only_step(self) -> dict[str, Any]:
        self.assertEqual(len(self.sink.of("step_started")), 1)
        (ended,) = self.sink.of("step_ended")
        return ended

    def test_a_call_is_a_step_with_its_messages_and_tokens(self) -> None:
        client = self.client(chat("Hello, you."))
        self.assertIsInstance(client, openai.OpenAI)
        with runtraced.run("a"):
            answer = client.chat.completions.create(model="gpt-5", messages=HELLO, temperature=0.5)
        self.assertEqual(answer.choices[0].message.content, "Hello, you.")
        self.flush()
        (started,) = self.sink.of("step_started")
        self.assertEqual(started["details"]["step_type"], "STEP_TYPE_LLM_CALL")
        self.assertEqual(started["details"]["model"], "gpt-5")
        self.assertEqual(started["details"]["input_json"], {"messages": HELLO, "temperature": 0.5})
        self.assertEqual(json.loads(self.only_step()["output_json"]), "Hello, you.")
        self.assertEqual(self.tokens(), [TOKENS])
        self.assertEqual(self.messages(), [("user", "hello"), ("assistant", "Hello, you.")])

    def test_a_history_is_sent_once(self) -> None:
        parallel = (("call_1", "weather", {"city": "Bonn"}), ("call_2", "weather", {"city": "Kiel"}))
        client = self.client(chat(None, parallel), chat("Sun and rain."))
        with runtraced.run("a"):
            first = client.chat.completions.create(model="gpt-5", messages=HELLO, tools=[TOOL])
            history: list[Any] = [*HELLO, first.choices[0].message]
            for call, text in zip(first.choices[0].message.tool_calls, ("sun", "rain")):
                history.append({"role": "tool", "tool_call_id": call.id, "content": text})
            client.chat.completions.create(model="gpt-5", messages=history, tools=[TOOL])
        self.flush()
        expected = [("user", "hello"), ("assistant", None), ("tool", "sun"), ("tool", "rain"), ("assistant", "Sun and rain.")]
        self.assertEqual(self.messages(), expected)
        called = self.sink.of("message_appended")[1]["tool_calls_json"]
        self.assertEqual(called, [{"id": i, "name": n, "arguments": a} for i, n, a in parallel])
        self.assertEqual(len(self.tokens()), 2)

    def test_a_session_repeats_nothing_in_its_next_run(self) -> None:
        client = self.client(chat("Hello, you."), chat("Again."))
        history: list[Any] = list(HELLO)
        for text in ("Hello, you.", "Again."):
            with runtraced.run("a", session="s"):
                answer = client.chat.completions.create(model="gpt-5", messages=history)
            self.assertEqual(answer.choices[0].message.content, text)
            history += [answer.choices[0].message, {"role": "user", "content": "more"}]
        self.flush()
        self.assertEqual(
            self.messages(), [("user", "hello"), ("assistant", "Hello, you."), ("user", "more"), ("assistant", "Again.")]
        )

    def test_a_stream_has_exact_tokens_and_looks_as_it_always_did(self) -> None:
        client = self.client(chat("Hello, you."), chat(None, (("call_1", "weather", {"city": "Bonn"}),)))
        with runtraced.run("a"):
            stream = client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
            self.assertIsInstance(stream, openai.Stream)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
            for chunk in client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True, stream_options={"include_usage": True}):
                last = chunk
        self.assertEqual("".join(pieces), "Hello, you.")
        self.assertEqual(last.usage.prompt_tokens, 120, "who asks for usage gets it")
        self.flush()
        self.assertEqual(self.tokens(), [TOKENS, TOKENS])
        outputs = [json.loads(one["output_json"]) if isinstance(one["output_json"], str) else one["output_json"] for one in self.sink.of("step_ended")]
        self.assertEqual(outputs, ["Hello, you.", {"tool_calls": [{"id": "call_1", "name": "weather", "arguments": {"city": "Bonn"}}]}])

    def stream_texts(self, client: Any, *texts: str) -> None:
        with runtraced.run("a"):
            for text in texts:
                stream = client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
                self.assertEqual("".join(chunk.choices[0].delta.content or "" for chunk in stream), text)

    def test_a_server_that_refuses_our_option_gets_the_call_of_the_agent(self) -> None:
        for refusal in ('{"error":{"message":"unknown field stream_options"}}', '{"detail":"Extra inputs are not permitted"}'):
            client = self.client(chat("Hello, you."), chat("Again."))
            self.scripted.refusal = refusal
            self.stream_texts(client, "Hello, you.", "Again.")
            self.assertEqual(["stream_options" in one for one in self.scripted.requests], [True, False, False])

    def test_a_call_that_is_refused_for_another_reason_stays_refused(self) -> None:
        client = self.client(400, chat("Hello, you."), chat("Again."))
        self.scripted.refusal = '{"error":{"message":"too hot","param":"temperature"}}'
        with runtraced.run("a"), self.assertRaises(openai.BadRequestError):
            client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
        self.assertEqual(len(self.scripted.requests), 1)
        self.scripted.refusal = '{"error":{"message":"bad"}}'  # and so is the call of the agent
        with runtraced.run("a"), self.assertRaises(openai.BadRequestError):
            client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
        self.scripted.refusal = ""
        self.stream_texts(client, "Hello, you.")
        self.assertEqual(["stream_options" in one for one in self.scripted.requests], [True, True, False, True])

    def test_streams_that_are_left_end_their_step(self) -> None:
        client = self.client(chat("one two"), chat("one two"), chat("one two"))
        with runtraced.run("a"):
            for leave in ("close", "drop", "never"):
                stream = client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
                if leave != "never":
                    next(iter(stream)), next(stream)
                if leave == "close":
                    stream.close()
                else:
                    del stream
                    gc.collect()
        self.flush()
        statuses = [one["status"] for one in self.sink.of("step_ended")]
        self.assertEqual(statuses, ["END_STATUS_COMPLETED"] * 3)
        self.assertEqual(json.loads(self.sink.of("step_ended")[0]["output_json"]), "one")

    def test_helpers_of_the_sdk(self) -> None:
        class Place(BaseModel):
            city: str

        client = self.client(chat('{"city": "Bonn"}'), chat("one two"), response(says('{"city":"Kiel"}')), response(says("three")))
        with runtraced.run("a"):
            parsed = client.chat.completions.parse(model="gpt-5", messages=HELLO, response_format=Place)
            self.assertEqual(parsed.choices[0].message.parsed, Place(city="Bonn"))
            with client.chat.completions.stream(model="gpt-5", messages=HELLO) as stream:
                self.assertEqual(stream.get_final_completion().choices[0].message.content, "one two")
            typed = client.responses.parse(model="gpt-5", input="where?", text_format=Place)
            self.assertEqual(typed.output_parsed, Place(city="Kiel"))
            with client.responses.stream(model="gpt-5", input="count") as counted:
                self.assertEqual(counted.get_final_response().output_text, "three")
        self.flush()
        self.assertEqual([one["input"] for one in self.tokens()], [120, 120, 160, 160])
        self.assertIn(("assistant", '{"city": "Bonn"}'), self.messages())
        self.assertIn(("assistant", "three"), self.messages())
        schema = self.sink.of("step_started")[0]["details"]["input_json"]["response_format"]
        self.assertEqual(schema["type"], "json_schema")

    def test_responses_with_tools(self) -> None:
        client = self.client(response(calls("call_1", "weather", {"city": "Bonn"})), response(says("Sun.")))
        with runtraced.run("a"):
            first = client.responses.create(model="gpt-5", instructions="Be brief.", input="Weather?")
            given: list[Any] = [{"role": "user", "content": "Weather?"}, *first.output]
            given.append({"type": "function_call_output", "call_id": "call_1", "output": "sun"})
            client.responses.create(model="gpt-5", instructions="Be brief.", input=given)
        self.flush()
        expected = [("system", "Be brief."), ("user", "Weather?"), ("assistant", None), ("tool", "sun"), ("assistant", "Sun.")]
        self.assertEqual(self.messages(), expected)
        self.assertEqual(self.tokens()[0], {"model": "gpt-5-2026", "input": 160, "output": 12, "cache_read": 96, "cache_write": 0, "reasoning": 4})

    def test_retries_of_the_sdk_are_one_call(self) -> None:
        client = self.client(429, 500, chat("At last."))
        with runtraced.run("a"):
            client.chat.completions.create(model="gpt-5", messages=HELLO)
        self.flush()
        self.assertEqual(len(self.scripted.requests), 3)
        self.assertEqual(self.only_step()["status"], "END_STATUS_COMPLETED")
        self.assertEqual(self.tokens(), [TOKENS])

    def test_an_error_fails_the_step_and_reaches_the_agent(self) -> None:
        client = self.client(404)
        with runtraced.run("a"), self.assertRaises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-5", messages=HELLO)
        self.flush()
        step = self.only_step()
        self.assertEqual(step["status"], "END_STATUS_FAILED")
        self.assertIn("NotFoundError: ", step["error"])
        self.assertIn("the model is tired", step["error"])
        self.assertEqual(self.tokens(), [])

    def test_copies_of_the_client(self) -> None:
        client = self.client(chat("copy"))
        client.chat.completions  # made before the copy
        with runtraced.run("a"):
            client.with_options(timeout=5).chat.completions.create(model="gpt-5", messages=HELLO)
        self.flush()
        self.assertEqual(self.tokens(), [TOKENS])

    def test_wrapping_twice_and_late_records_once(self) -> None:
        model = self.model(chat("x"), chat("y"))
        plain = openai.OpenAI(api_key="none", base_url=model.url)
        self.addCleanup(plain.close)
        completions = plain.chat.completions
        client = runtraced.wrap(runtraced.wrap(plain))
        completions.create(model="gpt-5", messages=HELLO)  # outside a run: nothing
        with runtraced.run("a"):
            completions.create(model="gpt-5", messages=HELLO)
        self.flush()
        self.assertIs(client, plain)
        self.assertEqual(self.tokens(), [TOKENS])

    def test_the_async_client(self) -> None:
        model = self.model(chat("one"), chat("two three"), chat(None, (("c", "weather", {}),)), 400)

        async def agent() -> None:
            async with openai.AsyncOpenAI(api_key="none", base_url=model.url, max_retries=0) as made:
                client = runtraced.wrap(made)
                with runtraced.run("a"):
                    await client.chat.completions.create(model="gpt-5", messages=HELLO)
                    stream = await client.chat.completions.create(model="gpt-5", messages=HELLO, stream=True)
                    self.assertIsInstance(stream, openai.AsyncStream)
                    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
                    self.assertEqual(text, "two three")
                    async with client.chat.completions.stream(model="gpt-5", messages=HELLO) as helper:
                        await helper.get_final_completion()
                    with self.assertRaises(openai.BadRequestError):
                        await client.chat.completions.create(model="gpt-5", messages=HELLO)

        asyncio.run(agent())
        self.flush()
        self.assertEqual(self.tokens(), [TOKENS, TOKENS, TOKENS])
        self.assertEqual([one["status"][11:] for one in self.sink.of("step_ended")], ["COMPLETED"] * 3 + ["FAILED"])

    def test_calls_side_by_side_belong_to_the_steps_that_made_them(self) -> None:
        model = self.model(*[chat(str(n)) for n in range(8)])

        async def ask(client: Any, n: int) -> None:
            with runtraced.step(f"ask {n}"):
                await client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": str(n)}])

        async def agent() -> None:
            async with openai.AsyncOpenAI(api_key="none", base_url=model.url) as made:
                with runtraced.run("a"):
                    await asyncio.gather(*(ask(runtraced.wrap(made), n) for n in range(8)))

        asyncio.run(agent())
        self.flush()
        names = {one["step_id"]: one["details"]["name"] for one in self.sink.of("step_started")}
        asked = {
            names[one["details"]["parent_step_id"]]: one["details"]["input_json"]["messages"][0]["content"]
            for one in self.sink.of("step_started") if "parent_step_id" in one["details"]
        }  # fmt: skip
        self.assertEqual(asked, {f"ask {n}": str(n) for n in range(8)})


class WrapUnknown(ClientTest):
    def test_what_is_no_client_stays_as_it_is(self) -> None:
        thing = object()
        with self.assertLogs("runtraced", "WARNING"):
            self.assertIs(runtraced.wrap(thing), thing)
