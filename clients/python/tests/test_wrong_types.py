"""What a program hands over in a wrong type: nothing raises, and what can be kept is kept."""

from __future__ import annotations

import os
import threading
import unittest
from typing import Any

import runtraced
from runtraced import _values
from tests.case import ClientTest


class Hostile:
    """Nothing can be asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __bool__ = __iter__ = __str__  # type: ignore[assignment]


ODD: list[Any] = [Hostile(), object(), 5, "text", [1], b"x", {"a": Hostile()}, {1, 2}, float("nan"), 10**400]


class WrongTypes(ClientTest):
    def warned(self, *parts: str) -> Any:
        """A block in which exactly these warnings appear, each once, in any order."""
        test = self

        class Block:
            def __enter__(self) -> None:
                self.logs = test.assertLogs("runtraced", "WARNING")
                self.found = self.logs.__enter__()

            def __exit__(self, *error: Any) -> None:
                self.logs.__exit__(*error)
                test.assertEqual(len(self.found.output), len(parts), self.found.output)
                for part in parts:
                    test.assertIn(part, str(self.found.output))

        return Block()

    def test_nothing_raises_and_every_event_is_there(self) -> None:
        with self.assertLogs("runtraced", "WARNING"):
            self.record_odd_things()

    def record_odd_things(self) -> None:
        for odd in ODD:
            with self.subTest(type(odd).__name__):
                self.sink.lines.clear()
                with runtraced.run(
                    odd, name=odd, type=odd, session=odd, session_title=odd, user=odd, customer=odd, tags=odd,
                    metadata=odd, timeout=odd, sample=1, traceparent=odd,
                ) as run:  # fmt: skip
                    with runtraced.step(odd, kind=odd, model=odd, metadata=odd) as step:
                        runtraced.message(odd, odd, metadata=odd)
                        runtraced.tokens(model=odd, input=odd, output=3)
                        runtraced.score(odd, odd, label=odd, source=odd, metadata=odd)
                        self.assertFalse(runtraced.approval(odd, odd, action=odd, expires=odd).wait(0))
                        step.metadata, step.error = odd, odd
                    run.metadata, run.error = odd, odd
                runtraced.score("s", 1, run=odd)
                runtraced.score("s", 1, step=odd)
                self.flush()
                for kind in (
                    "run_started", "step_started", "message_appended", "token_count", "score_added", "approval_requested",
                    "step_ended", "run_ended",
                ):  # fmt: skip
                    self.assertEqual(len(self.sink.of(kind)), 1, kind)
                self.assertEqual(self.sink.of("token_count")[0]["output"], 3)

    def test_what_can_be_kept_is_kept(self) -> None:
        with self.warned("metadata is a dict", "tags is a list", "timeout is a number", "customer is a UUID"):
            for _ in range(2):
                with runtraced.run("a", metadata="odd", tags="prod", timeout="soon", customer="acme"):  # type: ignore[arg-type]
                    pass
        self.flush()
        (one, other) = self.sink.of("run_started")
        self.assertEqual(one["metadata_json"], {"value": "odd", "tags": ["prod"]})
        self.assertEqual(other["metadata_json"], one["metadata_json"])
        self.assertNotIn("timeout", one)
        self.assertNotIn("customer_id", one)

    def test_numbers_in_texts_are_numbers(self) -> None:
        with runtraced.run("a", timeout="30"):  # type: ignore[arg-type]
            runtraced.tokens(input="12")  # type: ignore[arg-type]
            runtraced.score("s", "0.5")  # type: ignore[arg-type]
        self.assertEqual(runtraced.flush("10"), 0)  # type: ignore[arg-type]
        self.assertEqual(self.sink.of("run_started")[0]["timeout"], "30s")
        self.assertEqual(self.sink.of("token_count")[0]["input"], 12)
        self.assertEqual(self.sink.of("score_added")[0]["value"], 0.5)

    def test_what_the_daemon_would_refuse_does_not_cost_the_event(self) -> None:
        with self.warned("timeout is", "input of tokens is"), runtraced.run("a", timeout=-1):
            runtraced.tokens(input=-1, output=2)
        self.flush()
        self.assertNotIn("timeout", self.sink.of("run_started")[0])
        self.assertEqual([one for one in self.sink.of("token_count")[0] if one in ("input", "output")], ["output"])

    def test_a_score_that_is_a_word_is_a_label(self) -> None:
        with self.warned("value of a score is a number"), runtraced.run("a") as run:
            runtraced.score("s", "good")  # type: ignore[arg-type]
        runtraced.score("s", "fair", run=run.id)  # type: ignore[arg-type]
        self.flush()
        self.assertEqual([one["label"] for one in self.sink.of("score_added")], ["good", "fair"])

    def test_headers_of_every_server(self) -> None:
        with runtraced.run("caller") as run:
            header = runtraced.traceparent() or ""
        for headers in ({"Traceparent": header}, [(b"traceparent", header.encode())], {b"traceparent": header.encode()}, header.encode()):
            with runtraced.run("callee", traceparent=headers) as callee:  # type: ignore[arg-type]
                self.assertEqual(callee.id, run.id)

    def test_sigterm_is_left_alone_outside_the_main_thread(self) -> None:
        raised: list[BaseException] = []

        def configure() -> None:
            try:
                runtraced.configure(flush_on_sigterm=True)
            except BaseException as error:
                raised.append(error)

        with self.warned("flush_on_sigterm is not set"):
            thread = threading.Thread(target=configure)
            thread.start()
            thread.join()
        self.assertEqual(raised, [])

    def test_a_model_with_one_bad_field_keeps_the_others(self) -> None:
        try:
            from pydantic import BaseModel, ConfigDict
        except ImportError:
            if os.environ.get("CI") == "true":
                raise
            raise unittest.SkipTest("pydantic is not installed") from None

        class Inner(BaseModel):
            model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")
            name: str
            bad: Any

        class Outer(BaseModel):
            inner: Inner
            n: int

        found = _values.restored(_values.as_value({"it": Outer(inner=Inner(name="x", bad=Hostile(), more=1), n=2)}))
        self.assertEqual(
            found, {"it": {"inner": {"name": "x", "bad": "[Hostile that cannot be written as JSON]", "more": 1}, "n": 2}}
        )

    def test_arrays_as_metadata(self) -> None:
        try:
            import numpy
        except ImportError:
            raise unittest.SkipTest("numpy is not installed") from None
        array: Any = numpy.array([1, 2])
        with self.warned("metadata is a dict"), runtraced.run("a", metadata=array), runtraced.step("s", metadata=array) as step:
            step.metadata = array
        self.flush()
        self.assertEqual(self.sink.of("run_started")[0]["metadata_json"], {"value": [1, 2]})
        self.assertEqual(len(self.sink.of("step_ended")), 1)
