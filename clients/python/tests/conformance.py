"""Makes the calls of the conformance cases, and compares the events with those expected.

`python -m tests.conformance FOLDER` sends all cases of a folder to RUNTRACED_ENDPOINT.
"""

from __future__ import annotations

import contextvars
import glob
import json
import os
import re
import sys
from typing import Any

import runtraced
from runtraced._client import client

CASES = os.path.join(os.path.dirname(__file__), "..", "..", "conformance", "cases")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def load(folder: str) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            found[os.path.basename(path)[:-5]] = json.load(file)
    return found


def settings(configure: dict[str, Any]) -> dict[str, Any]:
    """What to configure for a case."""
    masks = {"redact": redact, "fail": fail}
    return {**configure, **({"mask": masks[configure["mask"]]} if "mask" in configure else {})}


def redact(value: Any) -> Any:
    if isinstance(value, str):
        return "[masked]" if "secret" in value else value
    if isinstance(value, dict):
        return {name: redact(item) for name, item in value.items()}
    return [redact(item) for item in value] if isinstance(value, list) else value


def fail(value: Any) -> Any:
    raise RuntimeError("the masking function fails")


class Program:
    """Makes the calls of one case."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] = {}

    def do(self, calls: list[dict[str, Any]]) -> None:
        for call in calls:
            name = next(iter(call))
            getattr(self, name)(call)

    def run(self, call: dict[str, Any]) -> None:
        args = dict(call.get("args", {}))
        if args.get("traceparent", "")[:1] == "@":
            args["traceparent"] = self.saved[args["traceparent"][1:]]
        with runtraced.run(call["run"], **args) as run:
            outer, self.innermost = getattr(self, "innermost", None), run
            self.do(call["do"])
            self.innermost = outer

    def step(self, call: dict[str, Any]) -> None:
        with runtraced.step(call["step"], **call.get("args", {})) as step:
            outer, self.innermost = getattr(self, "innermost", None), step
            self.do(call["do"])
            self.innermost = outer

    def set(self, call: dict[str, Any]) -> None:
        for name, value in call["set"].items():
            if name == "metadata":
                self.innermost.metadata.update(value)
            else:
                setattr(self.innermost, name, value)

    def message(self, call: dict[str, Any]) -> None:
        runtraced.message(*call["message"], **call.get("args", {}))

    def tokens(self, call: dict[str, Any]) -> None:
        runtraced.tokens(**call["tokens"])

    def score(self, call: dict[str, Any]) -> None:
        run = self.saved[call["of"]] if "of" in call else None
        runtraced.score(call["score"], run=run, **call.get("args", {}))

    def approval(self, call: dict[str, Any]) -> None:
        runtraced.approval(call["approval"], **call.get("args", {}))

    def catch(self, call: dict[str, Any]) -> None:
        outer = getattr(self, "innermost", None)
        try:
            self.do(call["catch"])
        except Exception:
            self.innermost = outer

    def save_run(self, call: dict[str, Any]) -> None:
        self.saved[call["save_run"]] = self.innermost

    def save_traceparent(self, call: dict[str, Any]) -> None:
        self.saved[call["save_traceparent"]] = runtraced.traceparent()

    def as_if_called(self, call: dict[str, Any]) -> None:
        contextvars.Context().run(self.do, call["as_if_called"])


def _raise(self: Program, call: dict[str, Any]) -> None:
    name, text = call["raise"]
    raise type(name, (Exception,), {})(text)


setattr(Program, "raise", _raise)


class Labels:
    """Which id each label of a case stands for."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def fits(self, expected: Any, found: Any, where: str) -> str:
        """Why the two differ, or nothing."""
        if isinstance(expected, str) and expected == "$time":
            return "" if isinstance(found, str) and found.endswith("Z") else f"{where}: no time: {found!r}"
        if isinstance(expected, str) and expected[:1] == "$":
            return self.label(expected, found, where)
        if isinstance(expected, dict) and isinstance(found, dict):
            if set(expected) != set(found):
                return f"{where}: members {sorted(found)} instead of {sorted(expected)}"
            return next(filter(None, (self.fits(expected[k], found[k], f"{where}.{k}") for k in expected)), "")
        same = type(expected) is type(found) and expected == found
        numbers = not isinstance(expected, bool) and isinstance(expected, (int, float)) and expected == found
        return "" if same or numbers else f"{where}: {found!r} instead of {expected!r}"

    def label(self, expected: str, found: Any, where: str) -> str:
        if not isinstance(found, str) or not _UUID.fullmatch(found):
            return f"{where}: {found!r} is no id"
        if self.ids.setdefault(expected, found) != found:
            return f"{where}: {found} is not {expected}"
        others = [name for name, known in self.ids.items() if known == found and name != expected]
        return f"{where}: {expected} is also {others[0]}" if others else ""


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """An event with its JSON fields as values."""
    return {name: _values(fields) for name, fields in event.items() if name != "time"}


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in fields.items():
        if name.endswith("_json"):
            found[name] = json.loads(value) if isinstance(value, str) else value
        else:
            found[name] = _values(value) if isinstance(value, dict) else value
    return found


def differences(expected: list[Any], found: list[dict[str, Any]]) -> str:
    """The first difference between the events of a case and those that were sent."""
    labels = Labels()
    kinds = [next(iter(event)) for event in expected]
    found_kinds = [next(iter(plain(event))) for event in found]
    if kinds != found_kinds:
        return f"events {found_kinds} instead of {kinds}"
    for index, (wanted, event) in enumerate(zip(expected, found)):
        problem = labels.fits(wanted, plain(event), f"event {index}")
        if problem:
            return problem
    times = [event["time"] for event in found]
    return "" if times == sorted(times) else f"times decrease: {times}"


def main() -> None:
    for case in load(sys.argv[1]).values():
        client.known_sessions.clear()
        before = dict(client.settings.__dict__)
        runtraced.configure(**settings(case.get("configure", {})))
        contextvars.Context().run(Program().do, case["calls"])
        assert runtraced.flush(30) == 0
        client.settings.__dict__.update(before)
    print(json.dumps(runtraced.stats()._asdict()))


if __name__ == "__main__":
    main()
