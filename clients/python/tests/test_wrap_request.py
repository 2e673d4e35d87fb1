"""What a long history costs, and how requests become plain values."""

from __future__ import annotations

import enum
import json
from typing import Any
from unittest import mock

import runtraced
from runtraced._wrap import _call, _request
from runtraced._wrap._call import Call
from runtraced._wrap._openai_chat import ChatCompletions
from tests.case import ClientTest


class Model:
    """As an object of an SDK."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self, **_options: Any) -> dict[str, Any]:
        return self.fields


class NotGiven:
    pass


class Word(str, enum.Enum):
    USER = "user"


def history(length: int) -> list[dict[str, Any]]:
    return [{"role": "user" if n % 2 == 0 else "assistant", "content": f"{n}"} for n in range(length)]


class Requests(ClientTest):
    def test_a_history_that_is_repeated_is_neither_written_nor_hashed_again(self) -> None:
        messages = history(20)
        with runtraced.run("a"), mock.patch.object(_call, "message_id", wraps=_call.message_id) as derived:
            Call(ChatCompletions(), {"model": "m", "messages": messages}).end(None)
            self.assertEqual(derived.call_count, 20)
            with mock.patch.object(_request, "json_text", side_effect=AssertionError("a text was written")):
                Call(ChatCompletions(), {"model": "m", "messages": history(21)}).end(None)
            self.assertEqual(derived.call_count, 21)
        self.flush()
        self.assertEqual([one["content"] for one in self.sink.of("message_appended")], [str(n) for n in range(21)])

    def test_requests_become_plain_values(self) -> None:
        body = {
            "left out": NotGiven(), "pair": (1, 2.5), "none": None, "model": Model(parts=[Model(text="x")]), "word": Word.USER,
            3: True, "url": "data:image/png;base64," + "x" * 5000, "image": {"data": "x" * 5000, "type": "png"},
        }  # fmt: skip
        self.assertEqual(
            _request.copied(body),  # type: ignore[arg-type]
            {"pair": [1, 2.5], "none": None, "model": {"parts": [{"text": "x"}]}, "word": "user", "3": True,
             "url": "[image/png, 5022 characters]", "image": {"data": "[5000 characters]", "type": "png"}},
        )  # fmt: skip

    def test_the_copy_is_the_agents_no_more(self) -> None:
        body = {"messages": [{"content": ["a"]}]}
        found = _request.copied(body)
        body["messages"][0]["content"].append("b")
        self.assertEqual(found, {"messages": [{"content": ["a"]}]})

    def test_what_has_no_end_is_cut(self) -> None:
        circle: list[Any] = []
        circle.append(circle)
        doubled: Any = [1]
        for _ in range(20):
            doubled = [doubled, doubled]
        for odd in (circle, doubled):
            found = _request.copied({"messages": history(1), "odd": odd})
            self.assertEqual(found["messages"], history(1))
            self.assertLess(len(json.dumps(found)), 5_000_000)
