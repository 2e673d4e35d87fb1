"""Copies what the agent hands over, at once: the agent may change it later.

A text stays as it is, because nobody can change it. What consists of plain Python values is
copied with `marshal`, which takes a fifth of the time that JSON takes; the background thread
makes JSON of it. Everything else becomes JSON at once. Nothing here raises.
"""

from __future__ import annotations

import json
import marshal
from typing import Any, Union


_MAX_DEPTH = 100
_MAX_REPR = 10_000
_SCALARS = {str, int, float, bool, type(None)}

quoted = json.encoder.encode_basestring


class Json(str):
    """A text that is JSON."""

    __slots__ = ()


# A text, a copy by `marshal`, or JSON.
Value = Union[str, bytes, Json]


def _replacement(value: Any) -> Any:
    """What stands for an object that JSON does not have."""
    dump = getattr(value, "model_dump", None)  # pydantic
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None and not isinstance(value, type):
        return {name: getattr(value, name, None) for name in fields}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    if isinstance(value, BaseException):
        return error_text(value)
    if isinstance(value, (set, frozenset)) or type(value).__name__ in ("deque", "dict_keys", "dict_values"):
        return list(value)
    if hasattr(value, "_asdict"):
        return value._asdict()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    kind = type(value).__module__.partition(".")[0]
    if kind == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if kind in ("uuid", "pathlib", "decimal"):
        return str(value)
    if kind == "enum" or hasattr(type(value), "__members__"):
        return value.value
    return repr(value)[:_MAX_REPR]


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_replacement
).encode


def as_value(value: Any) -> Value | None:
    """A value of a step: any JSON. None is absent."""
    if value is None or type(value) is str:
        return value
    try:
        return marshal.dumps(value, 2)
    except Exception:
        return Json(json_text(value))


def as_text(value: Any) -> str | None:
    """A text; of any other value, its JSON. None is absent."""
    if value is None or type(value) is str:
        return value
    return str(value) if isinstance(value, str) else json_text(value)


def as_object(value: Any) -> Value | None:
    """A JSON object. Anything else becomes its member `value`; an empty one is absent."""
    if not value:
        return None
    return as_value(value if isinstance(value, dict) else {"value": value})


def restored(value: Value | None) -> Any:
    """What a value was made of, in plain Python values."""
    if isinstance(value, bytes):
        return marshal.loads(value)
    return json.loads(value) if isinstance(value, Json) else value


def error_text(error: object) -> str:
    """`Type: message`."""
    if not isinstance(error, BaseException):
        return str(error)
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{name}: {message}" if message else name


def json_text(value: Any) -> str:
    """The JSON of any value."""
    try:
        return _encode(value)
    except Exception:
        pass
    try:
        return _encode(_mended(value, 0))
    except Exception:
        return quoted(f"[{type(value).__name__} that cannot be written as JSON]")


def _mended(value: Any, depth: int) -> Any:
    """A copy without what JSON cannot hold: cycles, NaN, keys that are no text."""
    if depth > _MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, int) and abs(value).bit_length() > 14_000:
        return "[a number of %d bits]" % value.bit_length()
    if type(value) in _SCALARS or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {_key(key): _mended(item, depth + 1) for key, item in list(value.items())}
    if isinstance(value, (list, tuple)):
        return [_mended(item, depth + 1) for item in list(value)]
    try:
        return _mended(_replacement(value), depth + 1)
    except Exception:
        return f"[{type(value).__name__} that cannot be written as JSON]"


def _key(key: Any) -> str:
    try:
        return key if type(key) is str else str(key)
    except Exception:
        return f"[{type(key).__name__}]"
