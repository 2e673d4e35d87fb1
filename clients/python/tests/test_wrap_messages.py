"""Which messages of model calls are rows of their own, and which are repeats."""

from __future__ import annotations

import os
import unittest
from typing import Any

import runtraced
from runtraced import _sayings
from tests.case import ClientTest, fresh
from tests.model import Model, chat, response, says

try:
    import openai
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    raise unittest.SkipTest("openai is not installed") from None


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


class Messages(ClientTest):
    def client(self, *script: Any) -> Any:
        model = Model(*script)
        self.addCleanup(model.close)
        made = openai.OpenAI(api_key="none", base_url=model.url, max_retries=0)
        self.addCleanup(made.close)
        return runtraced.wrap(made)

    def said(self) -> list[str]:
        """The contents in order; no two events may be one message."""
        self.flush()
        found = self.sink.of("message_appended")
        self.assertEqual(len({one["message_id"] for one in found}), len(found))
        return [one["content"] for one in found]

    def ask(self, client: Any, *messages: dict[str, Any]) -> None:
        client.chat.completions.create(model="gpt-5", messages=list(messages))

    def test_equal_answers_of_two_calls_are_two_messages(self) -> None:
        client = self.client(chat("yes"), chat("yes"), chat("no"), chat("yes"))
        with runtraced.run("a"):
            self.ask(client, user("Is it red?"))
            self.ask(client, user("Is it blue?"))
            # Both are repeated now, and nothing of that is new.
            self.ask(client, user("Is it red?"), assistant("yes"), user("Is it blue?"), assistant("yes"), user("Big?"))
            self.ask(client, user("Is it red?"))
        self.assertEqual(self.said(), ["Is it red?", "yes", "Is it blue?", "yes", "Big?", "no", "yes"])

    def test_what_the_user_says_twice_in_a_history_is_two_messages(self) -> None:
        client = self.client(chat("one"), chat("two"))
        with runtraced.run("a"):
            self.ask(client, user("go on"))
            self.ask(client, user("go on"), assistant("one"), user("go on"))
        self.assertEqual(self.said(), ["go on", "one", "go on", "two"])

    def test_a_conversation_that_begins_anew_in_its_session_is_said_anew(self) -> None:
        client = self.client(chat("hi"), chat("hi"), chat("bye"), chat("hi"))
        system = {"role": "system", "content": "Be brief."}
        for _ in range(2):
            with runtraced.run("a", session="s"):
                self.ask(client, system, user("hello"))
        with runtraced.run("a", session="s"):
            self.ask(client, system, user("hello"), assistant("hi"), user("more"))
        with runtraced.run("a", session="other"):
            self.ask(client, user("hello"))
        self.assertEqual(
            self.said(), ["Be brief.", "hello", "hi", "hello", "hi", "more", "bye", "hello", "hi"]
        )

    def test_a_call_that_the_agent_makes_again_after_an_error_asks_nothing_new(self) -> None:
        client = self.client(400, chat("yes"))
        with runtraced.run("a", session="s"):
            with self.assertRaises(openai.BadRequestError):
                self.ask(client, user("Is it red?"))
            self.ask(client, user("Is it red?"))
        self.assertEqual(self.said(), ["Is it red?", "yes"])

    def test_several_answers_of_one_call_may_be_equal(self) -> None:
        answer = chat("yes")
        answer["choices"].append({**answer["choices"][0], "index": 1})
        client = self.client(answer)
        with runtraced.run("a"):
            self.ask(client, user("Is it red?"))
        self.assertEqual(self.said(), ["Is it red?", "yes", "yes"])

    def test_where_the_provider_keeps_the_history_nothing_is_a_repeat(self) -> None:
        client = self.client(*[response(says("ok")) for _ in range(4)])
        with runtraced.run("a"):
            client.responses.create(model="gpt-5", instructions="Be brief.", input="go on")
            for more in ({"previous_response_id": "resp_1"}, {"previous_response_id": "resp_2"}, {"conversation": "conv_1"}):
                client.responses.create(model="gpt-5", instructions="Be brief.", input="go on", **more)
        self.assertEqual(self.said(), ["Be brief."] + ["go on", "ok"] * 4)

    def test_an_event_that_is_sent_again_is_the_same_message(self) -> None:
        client = self.client(chat("yes"))
        self.sink.script = ["drop"]  # it is stored, and the client does not learn of it
        with runtraced.run("a"):
            self.ask(client, user("Is it red?"))
        self.flush()
        found = [one["message_id"] for one in self.sink.of("message_appended")]
        self.assertEqual(len(set(found)), 2)

    def test_what_a_left_out_run_says_is_said_again_by_others_and_not_by_itself(self) -> None:
        client = self.client(*[chat("yes") for _ in range(4)])
        fresh(self.sink.endpoint, sample=0)
        with runtraced.run("a", session="s"):
            self.ask(client, user("Is it red?"))
        with runtraced.run("b", session="s") as run:
            self.ask(client, user("Is it red?"))
            run.approval("Go?")  # so it is kept
            self.ask(client, user("Is it red?"))
        self.assertEqual(self.said(), ["Is it red?", "yes", "yes"])

    def test_memory_is_bounded(self) -> None:
        sayings = _sayings.Sayings()
        for n in range(_sayings._MOST_SAYINGS + 10):
            sayings.answered(str(n), "run", 1)
        self.assertEqual(len(sayings._said), _sayings._MOST_SAYINGS)
        self.assertEqual(sayings.answered(str(n), "run", 1), 2)
