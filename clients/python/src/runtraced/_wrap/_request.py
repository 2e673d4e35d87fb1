"""Copies the request of a call into plain values. A history may be long, so its texts are not touched."""

from __future__ import annotations

import json
from typing import Any, Dict

from .._values import json_text

# A media file in a request becomes its size.
_LONGEST_DATA = 4096
_MOST_VALUES = 200_000
_MAX_DEPTH = 50
_SCALARS = (int, float, bool, type(None))
_ABSENT = ("Omit", "NotGiven")


def copied(body: Dict[str, Any]) -> Dict[str, Any]:
    given = {name: value for name, value in body.items() if type(value).__name__ not in _ABSENT}
    try:
        found: Dict[str, Any] = _Copying().copied(given, 0)
    except Exception:  # it has a circle, is too large, or another thread changes it: this cuts it
        found = _Copying().copied(json.loads(json_text(given)), 0)
    return found


class _Copying:
    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def copied(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return _without_data(value)
        if kind in _SCALARS:
            return value
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise ValueError("too many values, or too deep")
        if kind is dict:
            found = {_key(name): self.copied(item, depth + 1) for name, item in value.items()}
            data = found.get("data")
            if type(data) is str and len(data) > _LONGEST_DATA:
                found["data"] = f"[{len(data)} characters]"
            return found
        if kind is list or kind is tuple:
            return [self.copied(item, depth + 1) for item in value]
        # An object of the SDK, or of the agent.
        return self.copied(json.loads(json_text(value)), depth + 1)


def _key(name: Any) -> str:
    return name if type(name) is str else str(json.loads(json_text({name: 0})).popitem()[0])


def _without_data(text: str) -> str:
    if len(text) > _LONGEST_DATA and text.startswith("data:"):
        return f"[{text[5:100].partition(';')[0]}, {len(text)} characters]"
    return text
