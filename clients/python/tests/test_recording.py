"""What is recorded: decorators, generators, contexts, threads, values."""

from __future__ import annotations

import array
import asyncio
import contextvars
import dataclasses
import datetime
import decimal
import enum
import gc
import json
import socket
import threading
import time
import unittest
import uuid
from typing import Any, AsyncIterator, Iterator

import runtraced
from runtraced import _values
from runtraced._client import client
from tests.case import ClientTest, fresh


def value(event: dict[str, Any], name: str) -> Any:
    """A JSON field as a value."""
    found = event.get(name)
    return json.loads(found) if isinstance(found, str) else found


class Recording(ClientTest):
    def tree(self) -> dict[str, Any]:
        """The parent of each step, by name."""
        names = {one["step_id"]: one["details"]["name"] for one in self.sink.of("step_started")}
        return {
            one["details"]["name"]: names.get(one["details"].get("parent_step_id"))
            for one in self.sink.of("step_started")
        }

    def ended(self, name: str) -> dict[str, Any]:
        (step,) = [one["step_id"] for one in self.sink.of("step_started") if one["details"]["name"] == name]
        (end,) = [one for one in self.sink.of("step_ended") if one["step_id"] == step]
        return end

    def test_functions_of_every_kind(self) -> None:
        @runtraced.traced
        def plain(a: int, b: int = 2) -> int:
            inner()
            return a + b

        @runtraced.traced(kind="tool", name="inside")
        def inner() -> None:
            pass

        @runtraced.traced
        async def coroutine(x: str) -> str:
            inner2()
            return x

        @runtraced.traced("inside too")
        def inner2() -> None:
            pass

        @runtraced.traced
        def generator(n: int) -> Iterator[int]:
            yield from range(n)
            return "end"  # noqa: B901

        @runtraced.traced
        async def words() -> AsyncIterator[str]:
            yield "a "
            yield "b"

        async def all_words() -> str:
            return "".join([word async for word in words()])

        with runtraced.run("a"):
            self.assertEqual(plain(1), 3)
            self.assertEqual(asyncio.run(coroutine("x")), "x")
            self.assertEqual(list(generator(3)), [0, 1, 2])
            self.assertEqual(asyncio.run(all_words()), "a b")
        self.flush()
        self.assertEqual(self.tree()["inside"], "plain")
        self.assertEqual(self.tree()["inside too"], "coroutine")
        self.assertEqual(value(self.ended("plain"), "output_json"), 3)
        self.assertEqual(value(self.ended("generator"), "output_json"), {"items": [0, 1, 2], "result": "end"})
        self.assertEqual(value(self.ended("words"), "output_json"), "a b")
        started = next(one for one in self.sink.of("step_started") if one["details"]["name"] == "plain")
        self.assertEqual(started["details"]["input_json"], {"a": 1})
        self.assertTrue(asyncio.iscoroutinefunction(coroutine))

    def test_methods_and_what_must_stay_private(self) -> None:
        class Tool:
            @runtraced.traced(input=False, output=False)
            def secret(self, password: str) -> str:
                return password

            @runtraced.traced
            def open(self, *args: int, **kwargs: int) -> None: ...

            @runtraced.traced
            @staticmethod
            def alone(a: int) -> int:
                return a

            @runtraced.traced
            @classmethod
            def of_class(cls, a: int) -> str:
                return cls.__name__ * a

        with runtraced.run("a"):
            Tool().secret("hunter2")
            Tool().open(1, 2, x=3)
            self.assertEqual((Tool().alone(1), Tool.alone(2)), (1, 2))
            self.assertEqual((Tool().of_class(1), Tool.of_class(2)), ("Tool", "ToolTool"))
        self.flush()
        self.assertNotIn(b"hunter2", b"".join(self.sink.lines))
        started = self.sink.of("step_started")[1]
        self.assertEqual(started["details"]["input_json"], {"args": [1, 2], "x": 3})

    def test_nothing_is_open_outside_a_generator_between_its_items(self) -> None:
        @runtraced.traced
        def generator() -> Iterator[int]:
            with runtraced.step("first"):
                pass
            yield 1
            with runtraced.step("second"):
                pass

        with runtraced.run("a"):
            made = generator()
            next(made)
            with runtraced.step("between"):
                pass
            self.assertEqual(list(made), [])
        self.flush()
        expected = {"generator": None, "first": "generator", "between": None, "second": "generator"}
        self.assertEqual(self.tree(), expected)

    def test_a_generator_may_get_values_and_errors_and_return_one(self) -> None:
        @runtraced.traced
        def generator() -> Any:
            got = yield "ready"
            try:
                yield got
            except ValueError as error:
                yield f"caught {error}"
            return "result"

        made = generator()
        with runtraced.run("a"):
            made = generator()
            self.assertEqual(next(made), "ready")
            self.assertEqual(made.send("x"), "x")
            self.assertEqual(made.throw(ValueError("no")), "caught no")
            with self.assertRaises(StopIteration) as stop:
                next(made)
        self.assertEqual(stop.exception.value, "result")

    def test_abandoned_generators_end_their_step(self) -> None:
        @runtraced.traced
        def generator() -> Iterator[int]:
            yield 1
            yield 2

        @runtraced.traced
        async def async_generator() -> AsyncIterator[int]:
            yield 1
            yield 2

        async def leave() -> None:
            async for _ in async_generator():
                break
            gc.collect()
            await asyncio.sleep(0.01)

        def drop_without_a_loop() -> None:
            made = async_generator()
            with self.assertRaises(StopIteration):
                made.__anext__().send(None)

        with runtraced.run("a"):
            for _ in generator():
                break
            asyncio.run(leave())
            drop_without_a_loop()
            gc.collect()
        self.flush()
        self.assertEqual([one["status"] for one in self.sink.of("step_ended")], ["END_STATUS_COMPLETED"] * 3)

    def test_what_is_dropped_without_an_end_has_not_succeeded(self) -> None:
        for error in (None, "its own error"):
            run = runtraced.run("a")
            run.start()
            step = run.step("s")
            step.start()
            run.error = step.error = error
            del step, run
            gc.collect()
        self.flush()
        wanted = ["abandoned: the program dropped it and did not end it", "its own error"]
        for kind in ("run_ended", "step_ended"):
            self.assertEqual([one["status"] for one in self.sink.of(kind)], ["END_STATUS_FAILED"] * 2)
            self.assertEqual([one["error"] for one in self.sink.of(kind)], wanted)

    def test_an_async_generator_may_be_read_by_several_tasks(self) -> None:
        @runtraced.traced
        async def numbers() -> AsyncIterator[int]:
            for n in range(4):
                await asyncio.sleep(0)
                with runtraced.step(f"n{n}"):
                    yield n

        async def one(made: Any) -> int:
            found: int = await made.__anext__()
            return found

        async def read() -> list[int]:
            made = numbers()
            found = [await asyncio.create_task(one(made)) for _ in range(3)]
            await asyncio.create_task(made.aclose())
            with runtraced.step("after"):
                pass
            return found

        with runtraced.run("a"):
            self.assertEqual(asyncio.run(read()), [0, 1, 2])
        self.flush()
        self.assertIsNone(self.tree()["after"])
        self.assertEqual(len(self.sink.of("step_ended")), len(self.sink.of("step_started")))

    def test_steps_in_threads_and_tasks_find_their_parent(self) -> None:
        def work(name: str) -> None:
            with runtraced.step(name):
                time.sleep(0.001)

        async def task(name: str) -> None:
            with runtraced.step(name):
                await asyncio.sleep(0.001)

        async def tasks() -> None:
            with runtraced.step("tasks"):
                await asyncio.gather(*(task(f"task {n}") for n in range(5)))

        with runtraced.run("a") as run:
            with runtraced.step("pool"), runtraced.TracedExecutor(4) as pool:
                list(pool.map(work, [f"thread {n}" for n in range(5)]))
            asyncio.run(tasks())
            explicit = threading.Thread(target=lambda: run.step("explicit").__enter__().__exit__(None, None, None))
            explicit.start()
            explicit.join()
            bare = threading.Thread(target=work, args=("bare",))
            bare.start()
            bare.join()
        self.flush()
        tree = self.tree()
        self.assertEqual({tree[f"thread {n}"] for n in range(5)}, {"pool"})
        self.assertEqual({tree[f"task {n}"] for n in range(5)}, {"tasks"})
        self.assertIsNone(tree["explicit"])
        self.assertNotIn("bare", tree, "a plain thread does not know the run")

    def test_what_a_step_records_belongs_to_it(self) -> None:
        with runtraced.run("r") as run:
            with runtraced.step("open"):
                other = run.step("other")
                other.start()
                other.tokens(input=1)
                other.score("good", 1)
                other.step("below").start()
                run.tokens(input=2)
        self.flush()
        ids = {one["details"]["name"]: one["step_id"] for one in self.sink.of("step_started")}
        self.assertEqual(self.tree()["below"], "other")
        self.assertEqual([one.get("step_id") for one in self.sink.of("token_count")], [ids["other"], ids["open"]])
        self.assertEqual([one.get("step_id") for one in self.sink.of("score_added")], [ids["other"]])

    def test_a_context_that_was_left_open_harms_nobody(self) -> None:
        """A generator with `with step()` that nobody finishes leaves its step open here."""

        def careless() -> Iterator[int]:
            with runtraced.step("careless"):
                yield 1

        with runtraced.run("a"):
            made = careless()
            next(made)
            with runtraced.step("meanwhile"):
                made.close()
            with runtraced.step("later"):
                pass
        with runtraced.run("b"):
            pass
        self.assertIsNone(runtraced.current())
        self.flush()
        self.assertIsNone(self.tree()["later"])
        self.assertNotIn("parent_run_id", self.sink.of("run_started")[1])

    def test_a_value_is_recorded_as_it_was_when_it_was_handed_over(self) -> None:
        self.sink.delay_s = 0.05
        given = {"list": [1]}
        with runtraced.run("a"):
            with runtraced.step("s", input=given) as step:
                given["list"].append(2)
                step.output = given
            given["list"].append(3)
        self.flush()
        self.assertEqual(self.sink.of("step_started")[0]["details"]["input_json"], {"list": [1]})
        self.assertEqual(self.ended("s")["output_json"], {"list": [1, 2]})

    def test_a_run_goes_on_in_a_thread_that_gets_its_headers(self) -> None:
        with runtraced.run("caller") as caller:
            headers = {"Traceparent": runtraced.traceparent() or ""}

            def called() -> None:
                with runtraced.run("callee", traceparent=headers) as run:
                    self.assertEqual(run.id, caller.id)

            contextvars.Context().run(called)
        self.flush()
        self.assertEqual(len(self.sink.of("run_started")), 1)
        self.assertEqual(len(self.sink.of("run_ended")), 1)

    def test_garbage_never_raises(self) -> None:
        class Hostile:
            def __repr__(self) -> str:
                raise RuntimeError("no")

            __str__ = __repr__

        class HostileError(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no")

        endless: list[Any] = []
        endless.append(endless)
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        odd = [Hostile(), endless, deep, float("nan"), {1: 2, (3, 4): 5, None: 6}, b"\xff", "\ud800", 10**9999, {1, 2}, object, lambda: 1]
        with self.assertRaises(HostileError), runtraced.run("a", input=odd[0], metadata={"x": odd[1]}):
            for thing in odd:
                with runtraced.step("s", input=thing, metadata={"x": thing}) as step:
                    step.output = [thing]
                runtraced.message("user", thing, tool_calls=thing)
                runtraced.approval(thing, thing)  # type: ignore[arg-type]
            runtraced.score("s", float("nan"), comment=odd[0])
            raise HostileError
        del deep, odd
        self.flush()
        self.assertEqual(len(self.sink.of("step_ended")), 11)

    def test_numbers_of_scores(self) -> None:
        with runtraced.run("a"):
            for number in (1, 0.5, True, decimal.Decimal("0.25"), float("nan"), float("inf")):
                runtraced.score("s", number)  # type: ignore[arg-type]
        self.flush()
        self.assertEqual([one["value"] for one in self.sink.of("score_added")], [1, 0.5, 1, 0.25, "NaN", "Infinity"])

    def test_nothing_happens_when_disabled_or_outside_a_run(self) -> None:
        @runtraced.traced
        def function() -> int:
            return 1

        self.assertEqual(function(), 1)
        fresh(self.sink.endpoint, disabled=True)
        with runtraced.run("a") as run, runtraced.step("s"):
            self.assertEqual(function(), 1)
            self.assertFalse(runtraced.approval("Go?").wait(0))
            self.assertIsNone(runtraced.traceparent())
            self.assertEqual(len(run.id), 36)
        self.assertEqual(runtraced.flush(1), 0)
        self.assertIsNone(client._thread)

    def test_ids_are_of_version_7_and_in_order(self) -> None:
        with runtraced.run("a") as run:
            time.sleep(0.002)
            step = runtraced.step("s")
        ids = [uuid.UUID(run.id), uuid.UUID(step.id)]
        self.assertEqual([(one.version, one.variant) for one in ids], [(7, uuid.RFC_4122)] * 2)
        self.assertLess(*ids)
        self.assertLess(abs((ids[0].int >> 80) - time.time() * 1000), 5000)

    def test_heartbeats_while_nothing_happens(self) -> None:
        with runtraced.run("a", timeout=1.5):
            self.flush()
            ends_at = time.monotonic() + 5
            while "heartbeat" not in self.sink.kinds() and time.monotonic() < ends_at:
                time.sleep(0.05)
        self.flush()
        self.assertIn("heartbeat", self.sink.kinds())
        self.assertEqual(self.sink.kinds()[-1], "run_ended")


class Approvals(ClientTest):
    def test_the_agent_goes_on_when_a_person_has_decided(self) -> None:
        for status in ("approved", "rejected", "expired"):
            with runtraced.run("a"):
                approval = runtraced.approval("Send the mail?", {"to": "dana"})
                decided = {"status": status, "notes": "Good."}
                threading.Timer(0.1, lambda: self.sink.decisions.update({approval.id: decided})).start()
                decision = approval.wait(10)
            self.assertEqual((decision.status, decision.notes, bool(decision)), (status, "Good.", status == "approved"))

    def test_waiting_ends_in_time_though_the_daemon_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            fresh(f"http://127.0.0.1:{silent.getsockname()[1]}")
            with runtraced.run("a") as run:
                started = time.monotonic()
                self.assertEqual(run.approval("Go?").wait(0.5).status, "pending")
        self.assertLess(time.monotonic() - started, 10)

    def test_many_waits_leave_threads_for_others_and_end_with_their_task(self) -> None:
        async def agent() -> float:
            approvals = [runtraced.approval("Go?") for _ in range(40)]
            for approval in approvals:
                self.sink.decisions[approval.id] = {"status": "pending"}
            waiting = [asyncio.create_task(approval.wait_async(30)) for approval in approvals]
            await asyncio.sleep(0.1)
            started = time.monotonic()
            await asyncio.get_running_loop().run_in_executor(None, int)
            took = time.monotonic() - started
            for task in waiting:
                task.cancel()
            return took

        started = time.monotonic()
        with runtraced.run("a"):
            self.assertLess(asyncio.run(agent()), 5)
        self.assertLess(time.monotonic() - started, 15)

    def test_nobody_decides_in_time(self) -> None:
        with runtraced.run("a") as run:
            started = time.monotonic()
            self.assertEqual(run.approval("Go?").wait(0.3).status, "pending")
        self.assertLess(time.monotonic() - started, 3)

    def test_a_daemon_that_is_away_approves_nothing(self) -> None:
        fresh("http://127.0.0.1:9")
        with runtraced.run("a") as run:
            self.assertFalse(run.approval("Go?").wait(0.5))

    def test_waiting_does_not_hold_up_other_tasks(self) -> None:
        async def agent() -> tuple[Any, int]:
            approval = runtraced.approval("Go?")
            self.sink.decisions[approval.id] = {"status": "pending"}
            waiting = asyncio.create_task(approval.wait_async(5))
            turns = 0
            while turns < 20:
                await asyncio.sleep(0.005)
                turns += 1
            self.sink.decisions[approval.id] = {"status": "approved"}
            return await waiting, turns

        with runtraced.run("a"):
            decision, turns = asyncio.run(agent())
        self.assertTrue(decision)
        self.assertEqual(turns, 20)


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Node:
    parent: Any
    kids: list[Any]


@dataclasses.dataclass
class Point:
    x: int
    y: Color


class Values(unittest.TestCase):
    def test_objects_become_json(self) -> None:
        now = datetime.datetime(2026, 1, 31, 12)
        identifier = uuid.UUID(int=1)
        for given, expected in (
            (Point(1, Color.RED), {"x": 1, "y": "red"}),
            ({"at": now}, {"at": "2026-01-31T12:00:00"}),
            ([identifier], [str(identifier)]),
            (decimal.Decimal("1.10"), "1.10"),
            (b"abc", "[3 bytes]"),
            ((1, 2), [1, 2]),
            ({1: True, None: 2}, {"1": True, "null": 2}),
            ([float("inf")], ["inf"]),
            (ValueError("no"), "ValueError: no"),
        ):
            copied = _values.restored(_values.as_value(given))
            self.assertEqual(json.loads(_values.json_text(copied)), expected)

    def test_circles_and_what_is_there_many_times_end(self) -> None:
        tree: dict[str, Any] = {"children": []}
        for name in range(2):
            tree["children"].append({"name": name, "parent": tree})
        twice: list[Any] = []
        twice.extend([twice, twice])
        doubled: Any = [1]
        node = Node(None, [])
        for _ in range(60):
            doubled, node = [doubled, doubled], Node(node, [node])
        node.kids.append(node)
        for odd in (tree, twice, doubled, node, {"deep": [tree, doubled, node]}):
            started = time.monotonic()
            found = _values.as_value(odd)
            self.assertIsInstance(found, _values.Json)
            json.loads(str(found))
            self.assertLess(time.monotonic() - started, 20)
        self.assertEqual(json.loads(_values.json_text(twice)), ["[circular]", "[circular]"])

    def test_numbers_with_a_buffer_are_no_bytes(self) -> None:
        for value, wanted in ((array.array("i", [1]), "array('i', [1])"), ([b"abc", 1], ["[3 bytes]", 1])):
            self.assertEqual(json.loads(str(_values.as_value(value))), wanted)
        try:
            import numpy
        except ImportError:
            return
        scores = {"one": numpy.float64(0.5), "all": numpy.array([1, 2]), "yes": numpy.bool_(True)}
        self.assertEqual(json.loads(str(_values.as_value(scores))), {"one": 0.5, "all": [1, 2], "yes": True})

    def test_texts_stay_as_they_are(self) -> None:
        text = "x" * 1000
        self.assertIs(_values.as_value(text), text)
        self.assertIsNone(_values.as_value(None))
