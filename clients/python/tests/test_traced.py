"""What `traced` makes of things that are no plain functions."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import types
import warnings
from typing import Any, AsyncIterator, Iterator

import runtraced
from tests.case import ClientTest


async def ask(question: str, times: int = 1) -> str:
    with runtraced.step(f"in {question}"):
        await asyncio.sleep(0)
    if question == "bad":
        raise ValueError(question)
    return question * times


def count(n: int) -> Iterator[int]:
    for i in range(n):
        with runtraced.step(f"item {i}"):
            pass
        yield i


async def count_slowly(n: int) -> AsyncIterator[int]:
    for item in count(n):
        yield item


class Asks:
    async def __call__(self, question: str) -> str:
        return await ask(question)

    async def method(self, question: str) -> str:
        return await ask(question)


def decorated_by_others(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


class Traced(ClientTest):
    def steps(self) -> list[tuple[str, Any, Any, str]]:
        """Name, parent, output and status of each step."""
        self.flush()
        names = {one["step_id"]: one["details"]["name"] for one in self.sink.of("step_started")}
        ends = {one["step_id"]: one for one in self.sink.of("step_ended")}
        return [
            (
                one["details"]["name"], names.get(one["details"].get("parent_step_id")),
                ends[one["step_id"]].get("output_json"), ends[one["step_id"]]["status"][11:],
            )
            for one in self.sink.of("step_started")
        ]  # fmt: skip

    def test_what_returns_a_coroutine_is_a_step_until_the_coroutine_ends(self) -> None:
        for function in (functools.partial(ask, times=2), Asks(), Asks().method, decorated_by_others(ask), lambda q: ask(q)):
            traced = runtraced.traced("it")(function)
            self.sink.lines.clear()
            with runtraced.run("a"):
                found = asyncio.run(_awaited(traced, "x"))
                with self.assertRaises(ValueError):
                    asyncio.run(_awaited(traced, "bad"))
            self.assertEqual(
                self.steps(),
                [("it", None, f'"{found}"', "COMPLETED"), ("in x", "it", None, "COMPLETED"),
                 ("it", None, None, "FAILED"), ("in bad", "it", None, "COMPLETED")],
                function,
            )  # fmt: skip

    def test_their_arguments_have_the_right_names(self) -> None:
        for function in (functools.partial(ask), Asks(), Asks().method):
            traced = runtraced.traced(function)
            self.assertTrue(inspect.iscoroutinefunction(traced), function)
            with runtraced.run("a"):
                asyncio.run(_awaited(traced, "x"))
        with runtraced.run("a"):
            asyncio.run(_awaited(runtraced.traced(functools.partial(ask, "x")), 3))
        self.flush()
        given = [one["details"] for one in self.sink.of("step_started") if one["details"]["name"] != "in x"]
        self.assertEqual([one["name"] for one in given], ["ask", "Asks", "method", "ask"])
        self.assertEqual([one["input_json"] for one in given], [{"question": "x"}] * 3 + [{"times": 3}])

    def test_a_coroutine_may_be_a_task_and_a_future_stays_what_it_is(self) -> None:
        @runtraced.traced("task")
        def task(question: str) -> Any:
            return asyncio.ensure_future(ask(question))

        async def agent() -> None:
            one = asyncio.create_task(runtraced.traced("coroutine")(decorated_by_others(ask))("x"))
            two = task("y")
            self.assertIsInstance(two, asyncio.Task)
            left = task("z")
            left.cancel()
            self.assertEqual(await asyncio.gather(one, two), ["x", "y"])

        with runtraced.run("a"):
            asyncio.run(agent())
        found = {(name, output, status) for name, _, output, status in self.steps() if not name.startswith("in ")}
        self.assertEqual(
            found, {("coroutine", '"x"', "COMPLETED"), ("task", '"y"', "COMPLETED"), ("task", None, "FAILED")}
        )

    def test_what_returns_a_generator_is_a_step_until_the_generator_ends(self) -> None:
        async def read(made: Any) -> list[int]:
            return [item async for item in made]

        with runtraced.run("a"):
            for function in (functools.partial(count, 1), decorated_by_others(count)):
                traced = runtraced.traced("it")(function)
                self.assertEqual(list(traced(*([] if function.__class__ is functools.partial else [1]))), [0])
            slowly = runtraced.traced("slow")(decorated_by_others(count_slowly))
            self.assertEqual(asyncio.run(read(slowly(1))), [0])
        self.assertEqual(
            self.steps(),
            [("it", None, [0], "COMPLETED"), ("item 0", "it", None, "COMPLETED")] * 2
            + [("slow", None, [0], "COMPLETED"), ("item 0", "slow", None, "COMPLETED")],
        )

    def test_a_coroutine_that_is_written_as_a_generator(self) -> None:
        @types.coroutine
        def old(question: str) -> Any:
            return (yield from ask(question).__await__())

        with runtraced.run("a"):
            self.assertEqual(asyncio.run(_awaited(runtraced.traced("it")(decorated_by_others(old)), "x")), "x")
        self.assertEqual(self.steps()[0], ("it", None, '"x"', "COMPLETED"))

    def test_a_result_that_raises_whatever_it_is_asked(self) -> None:
        class Proxy:
            def __getattr__(self, name: str) -> Any:
                raise RuntimeError("working outside of a request")

        with runtraced.run("a"):
            self.assertIsInstance(runtraced.traced("it")(lambda: Proxy())(), Proxy)
        self.assertEqual([(name, status) for name, _, _, status in self.steps()], [("it", "COMPLETED")])

    def test_outside_a_run_everything_stays_as_it_is(self) -> None:
        made = runtraced.traced(decorated_by_others(count))(1)
        self.assertEqual(made.gi_code, count.__code__)
        self.assertEqual(asyncio.run(_awaited(runtraced.traced(Asks()), "x")), "x")

    def test_arguments_that_a_generator_does_not_take_fail_its_step(self) -> None:
        with runtraced.run("a"), self.assertRaises(TypeError):
            list(runtraced.traced(count)(1, 2))
        self.assertEqual(self.steps(), [("count", None, None, "FAILED")])

    def test_a_coroutine_that_nobody_awaits_has_not_succeeded(self) -> None:
        with warnings.catch_warnings(), runtraced.run("a"):
            warnings.simplefilter("ignore", RuntimeWarning)
            runtraced.traced("it")(decorated_by_others(ask))("x")
            gc.collect()
        self.assertEqual(self.steps(), [("it", None, None, "FAILED")])

    def test_classes_and_what_cannot_be_called_are_refused(self) -> None:
        for thing, wanted in ((Asks, "traced cannot decorate a class: Asks"), (property(lambda _: 1), "not a property"), (5, "not a int")):
            with self.assertRaisesRegex(TypeError, wanted):
                runtraced.traced(thing)  # type: ignore[type-var]
            with self.assertRaisesRegex(TypeError, wanted):
                runtraced.traced(kind="tool")(thing)  # type: ignore[type-var]


async def _awaited(function: Any, *args: Any) -> Any:
    return await function(*args)
