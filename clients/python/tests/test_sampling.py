"""A run that sampling leaves out sends nothing, or all of it."""

from __future__ import annotations

import contextvars
from typing import Any

import runtraced
from runtraced import _scope
from tests.case import ClientTest, fresh

# A caller in another process that does not record.
ELSEWHERE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Sampling(ClientTest):
    def setUp(self) -> None:
        super().setUp()
        fresh(self.sink.endpoint, sample=0)

    def sent(self) -> list[str]:
        self.flush()
        return self.sink.kinds()

    def call(self, headers: Any) -> None:
        """An agent that is called with these headers, and fails."""

        def called() -> None:
            with runtraced.run("callee", traceparent=headers):
                runtraced.message("user", "hi")
                raise ValueError("no")

        with self.assertRaises(ValueError):
            contextvars.Context().run(called)

    def test_a_late_score_goes_the_way_of_its_run(self) -> None:
        with runtraced.run("a") as run:
            with runtraced.run("child") as child:
                pass
            runtraced.score("early", 1, run=run.id)
        for one in (run, run.id, child, child.id):
            runtraced.score("late", 1, run=one)
        self.assertEqual(self.sent(), [])

    def test_the_score_of_a_run_that_failed_is_sent(self) -> None:
        with self.assertRaises(ValueError), runtraced.run("a") as run:
            runtraced.score("early", 1, run=run.id)
            raise ValueError("no")
        runtraced.score("late", 1, run=run.id)
        self.assertEqual(self.sent(), ["run_started", "score_added", "run_ended", "score_added"])

    def test_the_score_of_a_run_that_is_not_known_here_is_sent(self) -> None:
        runtraced.score("late", 1, run="0194bb0a-0000-7000-8000-000000000001")
        self.assertEqual(self.sent(), ["score_added"])

    def test_a_callee_that_fails_sends_nothing_of_a_run_that_is_left_out_elsewhere(self) -> None:
        self.call(ELSEWHERE)
        self.assertEqual(self.sent(), [])

    def test_a_callee_that_asks_a_person_sends_what_it_must(self) -> None:
        with runtraced.run("callee", traceparent=ELSEWHERE):
            runtraced.approval("Go?")
        self.assertEqual(self.sent(), ["step_started", "approval_requested", "step_ended"])

    def test_a_callee_that_fails_in_the_process_of_its_caller_keeps_all_of_the_run(self) -> None:
        with runtraced.run("caller"):
            self.call(runtraced.traceparent())
        self.assertEqual(
            self.sent(),
            ["run_started", "step_aliased", "step_started", "message_appended", "step_ended", "run_ended"],
        )

    def test_what_fails_after_the_end_of_its_run_sends_nothing(self) -> None:
        with runtraced.run("caller") as run:
            headers = runtraced.traceparent()
            late = runtraced.run("late")
            late.start()
        self.call(headers)
        late.end(ValueError("no"))
        runtraced.score("late", 1, run=run.id)
        self.assertEqual(self.sent(), [])

    def test_what_was_left_out_is_remembered_for_a_while(self) -> None:
        for _ in range(_scope._MOST_LEFT_OUT + 5):
            _scope.leave_out(str(_), _scope.Gate(False))
        self.assertEqual(len(_scope._left_out), _scope._MOST_LEFT_OUT)
