"""Copies what the agent hands over, at once: the agent may change it later.

A text stays as it is, because nobody can change it. What consists of plain Python values is
copied with `marshal`, which takes a fifth of the time that JSON takes; the background thread
makes JSON of it. Everything else becomes JSON at once. Nothing here raises.

Objects may refer to each other in circles, or to one object many times. As JSON, some dozen of
them would be larger than any memory, so everything that walks through them counts its steps.
"""

from __future__ import annotations

import json
import marshal
from typing import Any, Dict, Set, Union

_MAX_DEPTH = 100
_MAX_REPR = 10_000
# A value with more values in it would be longer than what the daemon takes.
_MAX_VALUES = 2_000_000
_MAX_OBJECTS = 50_000
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
        return _dumped(value, dump)
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


def _dumped(model: Any, dump: Any) -> Any:
    """The fields of a model of pydantic. If one of them cannot be written, the others can."""
    try:
        return dump(mode="json")
    except Exception:
        return {**model.__dict__, **(getattr(model, "__pydantic_extra__", None) or {})}


def _encode(value: Any) -> str:
    """The JSON of a value. Raises what JSON cannot hold, or if it would be too long."""
    if not is_bounded(value):
        raise ValueError("too many values")
    left = _MAX_OBJECTS

    def replaced(value: Any) -> Any:
        nonlocal left
        left -= 1
        found = _replacement(value)
        if left < 0 or not is_bounded(found):
            raise ValueError("too many values")
        return found

    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=replaced)
    return encoder.encode(value)


def is_bounded(value: Any) -> bool:
    """Whether plain values have no circle, and are not too many where they are written out."""
    try:
        return _written_out(value, {}, 0) <= _MAX_VALUES
    except (RecursionError, ValueError, RuntimeError):  # a circle, or changed by another thread
        return False


def _written_out(value: Any, known: Dict[int, int], depth: int) -> int:
    """How many values a container holds. `known`: of containers; 0 while they are looked at."""
    if depth > _MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, dict):
        items: Any = value.values()
    elif isinstance(value, (list, tuple)):
        items = value
    else:
        return 1
    before = known.get(id(value))
    if before is not None:
        if before == 0:
            raise ValueError("a circle")
        return before
    known[id(value)] = 0
    count = 1 + len(value)
    for item in items:
        if isinstance(item, (dict, list, tuple)):
            count += _written_out(item, known, depth + 1)
            if count > _MAX_VALUES:
                raise ValueError("too many values")
    known[id(value)] = count
    return count


def _is_plain(value: Any, left: int) -> int:
    """How many of `left` steps are left after a look at all values; negative if one is not plain.

    `marshal` takes whatever has a buffer, such as numbers of numpy, for bytes.
    """
    left -= 1
    if left < 0 or type(value) in _SCALARS:
        return left
    kind = type(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return -1
    for item in value.values() if kind is dict else value:
        if type(item) not in _SCALARS:
            left = _is_plain(item, left)
            if left < 0:
                break
    return left


def as_value(value: Any) -> Value | None:
    """A value of a step: any JSON. None is absent."""
    if value is None or type(value) is str:
        return value
    try:
        if _is_plain(value, _MAX_OBJECTS) >= 0:
            return marshal.dumps(value, 2)
    except Exception:
        pass
    return Json(json_text(value))


def as_text(value: Any) -> str | None:
    """A text; of any other value, its JSON. None is absent."""
    if value is None or type(value) is str:
        return value
    return str(value) if isinstance(value, str) else json_text(value)


def as_object(value: Any) -> Value | None:
    """A JSON object. Anything else becomes its member `value`; an empty one is absent."""
    if isinstance(value, dict):
        return as_value(value) if value else None
    if value is None or (isinstance(value, (str, list, tuple)) and not value):
        return None
    return as_value({"value": value})


def restored(value: Value | None) -> Any:
    """What a value was made of, in plain Python values."""
    if isinstance(value, bytes):
        return marshal.loads(value)
    return json.loads(value) if isinstance(value, Json) else value


def copied_json(value: bytes) -> str:
    """The JSON of a copy. It consists of plain values, and was looked at when it was made."""
    return plain_json(marshal.loads(value))


def plain_json(value: Any) -> str:
    """The JSON of plain values that were looked at before."""
    try:
        return _plain_encode(value)
    except Exception:
        return json_text(value)


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
        # Nothing in it is there twice.
        return _plain_encode(_Mending().mended(value, 0))
    except Exception:
        return quoted(f"[{type(value).__name__} that cannot be written as JSON]")


_plain_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _Mending:
    """Copies a value without what JSON cannot hold: circles, NaN, keys that are no text."""

    def __init__(self) -> None:
        self._left = _MAX_OBJECTS
        # What is being copied.
        self._open: Set[int] = set()

    def mended(self, value: Any, depth: int) -> Any:
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return str(value)
        if isinstance(value, int) and abs(value).bit_length() > 14_000:
            return "[a number of %d bits]" % value.bit_length()
        if type(value) in _SCALARS or isinstance(value, (str, int, float)):
            return value
        self._left -= 1
        if self._left < 0:
            return "[too many values]"
        if depth > _MAX_DEPTH:
            return "[too deep]"
        if id(value) in self._open:
            return "[circular]"
        self._open.add(id(value))
        try:
            return self._copy(value, depth + 1)
        except Exception:
            return f"[{type(value).__name__} that cannot be written as JSON]"
        finally:
            self._open.discard(id(value))

    def _copy(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {_key(key): self.mended(item, depth) for key, item in list(value.items())}
        if isinstance(value, (list, tuple)):
            return [self.mended(item, depth) for item in list(value)]
        return self.mended(_replacement(value), depth)


def _key(key: Any) -> str:
    try:
        return key if type(key) is str else str(key)
    except Exception:
        return f"[{type(key).__name__}]"
