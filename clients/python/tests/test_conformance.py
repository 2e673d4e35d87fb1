"""The conformance cases, against the sink."""

from __future__ import annotations

import contextvars

from tests import conformance
from tests.case import ClientTest, fresh


class Conformance(ClientTest):
    def test_calls_make_the_events_of_their_case(self) -> None:
        cases = conformance.load(conformance.CASES)
        self.assertGreater(len(cases), 20)
        for name, case in cases.items():
            with self.subTest(name):
                self.sink.lines.clear()
                fresh(self.sink.endpoint, **conformance.settings(case.get("configure", {})))
                contextvars.Context().run(conformance.Program().do, case["calls"])
                self.flush()
                self.assertEqual(conformance.differences(case["events"], self.sink.events()), "", case["about"])

    def test_differences_are_found(self) -> None:
        """Else the test above could not fail."""
        run = {"time": "2026-01-01T00:00:00.000000Z", "run_started": {"run_id": "0194bb0a-0000-7000-8000-000000000001", "agent_id": "a"}}
        good = [{"run_started": {"run_id": "$r", "agent_id": "a"}}]
        self.assertEqual(conformance.differences(good, [run]), "")
        for bad in (
            [],
            [{"run_ended": {}}],
            [{"run_started": {"run_id": "$r"}}],
            [{"run_started": {"run_id": "$r", "agent_id": "b"}}],
            [{"run_started": {"run_id": "$r", "agent_id": "$r"}}],
        ):
            self.assertNotEqual(conformance.differences(bad, [run]), "", bad)
