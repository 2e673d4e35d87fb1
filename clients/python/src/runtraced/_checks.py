"""Checks what `configure` and the environment set. Each check returns what to use.

A wrong setting raises ValueError at once: later, it would only show in the log of a thread.
"""

from __future__ import annotations

import math
import os
from typing import Any, Callable, Dict

from ._ids import parsed_id

_HIGHEST_PORT = 65535


def checked(name: str, value: Any) -> Any:
    """The value of a setting. Raises ValueError if it is none."""
    check, accepted = _CHECKS[name]
    try:
        return check(value)
    except Exception:
        pass
    shown = "" if name == "key" else f", not {value!r}"
    raise ValueError(f"{name} must be {accepted}{shown}")


def _endpoint(value: Any) -> str:
    text = str.strip(value)
    scheme, slashes, rest = text.partition("//")
    authority = (rest if slashes else text).partition("/")[0]
    host, colon, port = authority.rpartition(":")
    if authority.endswith("]"):  # IPv6 without a port
        host, colon, port = authority, "", ""
    good = scheme.lower() in ("http:", "https:") if slashes else True
    good = good and bool(host if colon else authority) and not any(char <= " " for char in text)
    if not good or (colon and not 0 < int(port) <= _HIGHEST_PORT):
        raise ValueError
    return text


def _key(value: Any) -> str:
    text = str.strip(value)
    if not all("!" <= char <= "~" for char in text):
        raise ValueError
    return text


def _customer(value: Any) -> str:
    found = parsed_id(value)
    if found is None:
        raise ValueError
    return found


def _folder(value: Any) -> str:
    path = os.fspath(value)
    if not isinstance(path, str) or "\0" in path:
        raise ValueError
    return path


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _function(value: Any) -> Any:
    if not callable(value):
        raise ValueError
    return value


def _number(value: Any, most: float) -> float:
    if isinstance(value, (bool, str)) or not 0 <= value <= most or not math.isfinite(value):
        raise ValueError
    return float(value)


def _bytes(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError
    return value


_CHECKS: Dict[str, "tuple[Callable[[Any], Any], str]"] = {
    "endpoint": (_endpoint, "an HTTP address such as http://127.0.0.1:4318"),
    "key": (_key, "a text of printable ASCII characters without spaces"),
    "spool": (_folder, "the path of a folder"),
    "disabled": (_flag, "True or False"),
    "customer": (_customer, "a UUID such as 0194bb0a-0000-7000-8000-00000000000c"),
    "mask": (_function, "a function of one argument"),
    "sample": (lambda value: _number(value, 1), "a number from 0 to 1"),
    "keep_failures": (_flag, "True or False"),
    "max_queue_bytes": (lambda value: _bytes(value, 1), "a whole number of bytes, at least 1"),
    "max_spool_bytes": (lambda value: _bytes(value, 0), "a whole number of bytes, at least 0"),
    "exit_timeout": (lambda value: _number(value, math.inf), "a number of seconds, at least 0"),
    "flush_on_sigterm": (_flag, "True or False"),
}
