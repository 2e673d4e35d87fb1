"""Settings are checked at once."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import runtraced
from runtraced._client import client
from tests.case import ClientTest

WRONG: dict[str, list[Any]] = {
    "endpoint": [5, "", "ftp://host", "http://", "http://host:port", "http://host:99999", "http://a b", "https:host"],
    "key": [5, "a b", "ä"],
    "spool": [5, b"folder", "a\0b"],
    "disabled": ["no", 0],
    "customer": ["acme", 5, ""],
    "mask": ["mask", 5],
    "sample": ["0.5", -0.1, 1.1, math.nan, True],
    "keep_failures": ["no"],
    "max_queue_bytes": ["16", 0, -1, 1.5],
    "max_spool_bytes": ["16", -1],
    "exit_timeout": ["30", -1, math.nan, math.inf],
    "flush_on_sigterm": ["yes"],
}
GOOD: dict[str, list[tuple[Any, Any]]] = {
    "endpoint": [(one, one) for one in ("http://h", "https://h:1/a//b", "h:4318", "h", "http://[::1]:4318", "[::1]")],
    "key": [("rt_1\n", "rt_1"), ("", "")],
    "spool": [(pathlib.Path("a"), "a"), ("", "")],
    "customer": [("0194BB0A-0000-7000-8000-00000000000C", "0194bb0a-0000-7000-8000-00000000000c")],
    "sample": [(0, 0.0), (1, 1.0), (0.5, 0.5)],
    "exit_timeout": [(0, 0.0), (30, 30.0)],
}


class Settings(ClientTest):
    def test_a_wrong_setting_is_told_at_once_and_changes_nothing(self) -> None:
        before = dict(client.settings.__dict__)
        for name, values in WRONG.items():
            for value in values:
                with self.assertRaisesRegex(ValueError, f"^{name} must be ", msg=repr(value)):
                    runtraced.configure(**{"sample": 0.25, "exit_timeout": 1, name: value})
        self.assertEqual(client.settings.__dict__, before)

    def test_an_error_says_what_is_accepted_and_what_was_given(self) -> None:
        with self.assertRaises(ValueError) as wrong:
            runtraced.configure(customer="acme")
        self.assertEqual(
            str(wrong.exception), "customer must be a UUID such as 0194bb0a-0000-7000-8000-00000000000c, not 'acme'"
        )

    def test_good_settings(self) -> None:
        for name, pairs in GOOD.items():
            for given, wanted in pairs:
                runtraced.configure(**{name: given})
                self.assertEqual(getattr(client.settings, name), wanted)

    def test_a_wrong_variable_is_told_and_stops_no_program(self) -> None:
        done = self.run_program(
            """
            import runtraced
            with runtraced.run("a"): pass
            print(runtraced._client.settings.endpoint, runtraced._client.settings.disabled)
            runtraced.configure(disabled=True, exit_timeout=0)
            """,
            RUNTRACED_ENDPOINT="nowhere at all",
            RUNTRACED_DISABLED="perhaps",
        )
        self.assertEqual(done.stdout, "http://127.0.0.1:4318 False\n")
        self.assertIn("RUNTRACED_ENDPOINT is ignored: endpoint must be an HTTP address", done.stderr)
        self.assertIn("RUNTRACED_DISABLED is ignored: it must be 1 or 0, not 'perhaps'", done.stderr)
