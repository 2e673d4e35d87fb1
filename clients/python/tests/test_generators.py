"""Runs and steps that generators hold open while their callers go on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from typing import Any, AsyncIterator, Callable, Iterator

import runtraced
from runtraced import _held
from tests.case import ClientTest


def mark(name: str) -> None:
    with runtraced.step(name):
        pass


def holding() -> Iterator[int]:
    with runtraced.step("held"):
        mark("first")
        yield 1
        mark("second")
        yield 2
    mark("after")


async def async_holding() -> AsyncIterator[int]:
    with runtraced.step("held"):
        mark("first")
        yield 1
        await asyncio.sleep(0)
        mark("second")
        yield 2
    mark("after")


class Generators(ClientTest):
    def tearDown(self) -> None:
        super().tearDown()
        gc.collect()
        self.assertEqual(_held.holds, {})

    def tree(self) -> dict[str, Any]:
        """The parent of each step, by name."""
        self.flush()
        names = {one["step_id"]: one["details"]["name"] for one in self.sink.of("step_started")}
        return {
            one["details"]["name"]: names.get(one["details"].get("parent_step_id"))
            for one in self.sink.of("step_started")
        }

    def test_what_a_generator_holds_open_is_not_open_for_its_caller(self) -> None:
        with runtraced.run("a") as run:
            for item in holding():
                self.assertIs(runtraced.current(), run)
                mark(f"between {item}")
        self.assertEqual(
            self.tree(),
            {"held": None, "first": "held", "between 1": None, "second": "held", "between 2": None, "after": None},
        )

    def test_nor_is_what_an_async_generator_holds_open(self) -> None:
        async def read() -> None:
            async for item in async_holding():
                mark(f"between {item}")

        with runtraced.run("a"):
            asyncio.run(read())
        self.assertEqual(
            self.tree(),
            {"held": None, "first": "held", "between 1": None, "second": "held", "between 2": None, "after": None},
        )

    def test_a_generator_goes_on_in_what_it_holds_though_its_caller_has_opened_a_step(self) -> None:
        with runtraced.run("a"):
            made = holding()
            next(made)
            with runtraced.step("outer"):
                next(made)
                mark("inside")
            mark("outside")
            self.assertEqual(list(made), [])
        self.assertEqual(
            self.tree(),
            {"held": None, "first": "held", "outer": None, "second": "held", "inside": "outer", "outside": None, "after": None},
        )

    def test_generators_side_by_side_keep_their_own(self) -> None:
        def numbered(name: str) -> Iterator[int]:
            with runtraced.step(name):
                for n in range(2):
                    mark(f"{name} {n}")
                    yield n

        with runtraced.run("a"):
            for n, _ in zip(numbered("x"), numbered("y")):
                mark(f"caller {n}")
        self.assertEqual(
            self.tree(),
            {"x": None, "y": None, "x 0": "x", "x 1": "x", "y 0": "y", "y 1": "y", "caller 0": None, "caller 1": None},
        )

    def test_traced_generators_keep_what_they_hold(self) -> None:
        async def read() -> None:
            async for item in runtraced.traced("async outer")(async_holding)():
                mark(f"async between {item}")

        with runtraced.run("a"):
            for item in runtraced.traced("outer")(holding)():
                mark(f"between {item}")
        self.assertEqual(
            self.tree(),
            {"outer": None, "held": "outer", "first": "held", "between 1": None, "second": "held", "between 2": None,
             "after": "outer"},
        )  # fmt: skip
        self.sink.lines.clear()
        with runtraced.run("a"):
            asyncio.run(read())
        self.assertEqual(
            self.tree(),
            {"async outer": None, "held": "async outer", "first": "held", "async between 1": None, "second": "held",
             "async between 2": None, "after": "async outer"},
        )  # fmt: skip

    def test_a_run_of_a_generator_is_not_the_parent_of_its_callers_runs(self) -> None:
        def agent() -> Iterator[int]:
            with runtraced.run("inner"):
                yield 1
                mark("in it")

        for _ in agent():
            self.assertIsNone(runtraced.current())
            with runtraced.run("other"):
                pass
        self.flush()
        self.assertEqual(["parent_run_id" in one for one in self.sink.of("run_started")], [False, False])
        inner = self.sink.of("run_started")[0]["run_id"]
        self.assertEqual([one["run_id"] for one in self.sink.of("step_started")], [inner])

    def test_each_item_may_be_made_in_another_context(self) -> None:
        """As Starlette iterates the body of a response, in the threads of a pool."""

        def answer() -> Iterator[int]:
            with runtraced.run("answer"):
                with runtraced.step("held"):
                    yield 1
                    mark("inside")
                    yield 2
                mark("after")

        def elsewhere(work: Callable[[], Any]) -> None:
            thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
            thread.start()
            thread.join()

        for made in (answer(), runtraced.traced(answer)()):
            found: list[Any] = []
            for _ in range(3):
                elsewhere(lambda: found.append(next(made, "end")))
            self.assertEqual(found, [1, 2, "end"])
            self.assertIsNone(runtraced.current())
        self.flush()
        self.assertEqual(self.tree(), {"held": None, "inside": "held", "after": None})
        self.assertEqual([one["status"] for one in self.sink.of("run_ended")], ["END_STATUS_COMPLETED"] * 2)
        self.assertEqual(len(self.sink.of("step_ended")), 6)

    def test_context_managers_hold_open_for_their_block(self) -> None:
        def delegate() -> Iterator[None]:
            with contextlib.ExitStack() as stack:
                stack.enter_context(runtraced.step("sync"))
                yield

        @contextlib.contextmanager
        def manager() -> Iterator[None]:
            yield from delegate()

        @contextlib.asynccontextmanager
        async def async_manager() -> AsyncIterator[None]:
            with runtraced.step("async"):
                yield

        def generator() -> Iterator[int]:
            with manager():
                mark("in the generator")
                yield 1

        async def read() -> None:
            async with async_manager():
                mark("in the async one")

        with runtraced.run("a"):
            with manager():
                mark("in the sync one")
            asyncio.run(read())
            for _ in generator():
                mark("between")
        self.flush()
        started = [one["details"] for one in self.sink.of("step_started")]
        names = {one["step_id"]: one["details"]["name"] for one in self.sink.of("step_started")}
        self.assertEqual(
            [(one["name"], names.get(one.get("parent_step_id"))) for one in started],
            [("sync", None), ("in the sync one", "sync"), ("async", None), ("in the async one", "async"),
             ("sync", None), ("in the generator", "sync"), ("between", None)],
        )  # fmt: skip

    def test_tasks_and_threads_of_a_generator_belong_to_what_it_holds(self) -> None:
        async def child(name: str, go: asyncio.Event) -> None:
            await go.wait()
            mark(name)

        async def parent(go: asyncio.Event) -> AsyncIterator[int]:
            with runtraced.step("held"):
                late = asyncio.create_task(child("while suspended", go))
                yield 1
                await late
                await asyncio.gather(child("while waiting", go), asyncio.to_thread(mark, "thread"))

        async def read() -> None:
            go = asyncio.Event()
            async for _ in parent(go):
                go.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)

        with runtraced.run("a"):
            asyncio.run(read())
        self.assertEqual(
            self.tree(), {"held": None, "while suspended": "held", "while waiting": "held", "thread": "held"}
        )

    def test_a_generator_that_is_dropped_leaves_nothing_behind(self) -> None:
        with runtraced.run("a"):
            made = holding()
            next(made)
            del made
            gc.collect()
            self.assertEqual(_held.holds, {})
            mark("later")
        self.assertEqual(self.tree()["later"], None)
        self.assertEqual(len(self.sink.of("step_ended")), 3)
