"""What waits in the queue, and how it becomes a line of JSON.

An item is a list, because that is what Python makes fastest:
[size in bytes, time in ns, head, payload, tail]. Head and tail are JSON and small: ids, names,
numbers. The payload is a tuple of (field, value). It may be dropped; then the rest is still
an event.
"""

from __future__ import annotations

import time
from typing import Any, List, Optional, Tuple

from . import _given as given
from ._values import Value, copied_json, quoted

# With None as its field, a value is JSON that belongs to the payload.
Payload = Tuple[Tuple[Optional[str], Optional[Value]], ...]
Item = List[Any]

SIZE, TIME, HEAD, PAYLOAD, TAIL = range(5)
# What an item takes besides its texts: the list, its numbers, the headers of its texts.
ITEM_BYTES = 400
_ENTRY_BYTES = 60
_MAX_ERROR = 20_000

STEP_TYPES = {
    "llm": '"STEP_TYPE_LLM_CALL"',
    "tool": '"STEP_TYPE_TOOL_CALL"',
    "thinking": '"STEP_TYPE_THINKING"',
    "tool_result": '"STEP_TYPE_TOOL_RESULT"',
    "handoff": '"STEP_TYPE_HANDOFF"',
    # A sub-agent, or an agent that another program calls: as over OTLP.
    "agent": '"STEP_TYPE_HANDOFF","kind":"agent"',
    None: '"STEP_TYPE_OTHER"',
}
_STATUSES = ('"END_STATUS_COMPLETED"', '"END_STATUS_FAILED"')


def item(now: int, head: str, payload: Payload, tail: str = "}") -> Item:
    """An event of this time, in ns."""
    size = head_size = ITEM_BYTES + len(head)
    for _, value in payload:
        if value is not None:
            size += len(value) + _ENTRY_BYTES
    return [size, now, head, payload if size != head_size else None, tail]


def drop_payload(item: Item) -> int:
    """Leaves what is not payload. Returns the bytes that this frees."""
    before: int = item[SIZE]
    item[PAYLOAD] = None
    item[SIZE] = ITEM_BYTES + len(item[HEAD])
    return before - int(item[SIZE])


def line(item: Item) -> bytes:
    """The item as one line of JSON."""
    payload = item[PAYLOAD]
    fields = "" if payload is None else "".join([_field(*entry) for entry in payload])
    text = f'{{"time":"{time_text(item[TIME])}",{item[HEAD]}{fields}{item[TAIL]}}}'
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates, which are not UTF-8
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _field(name: Optional[str], value: Any) -> str:
    if value is None:
        return ""
    kind = type(value)
    if kind is str:
        text = quoted(value)
    else:
        text = copied_json(value) if kind is bytes else str(value)
    if name is None:
        return text
    # The daemon takes a text in a field of JSON for JSON if it looks like it. The JSON text
    # of a text always means the text.
    if text[0] == '"' and name.endswith("_json"):
        text = quoted(text)
    return f',"{name}":{text}'


_last_second = (0, "")


def time_text(nanoseconds: int) -> str:
    global _last_second
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    known, text = _last_second
    if known != seconds:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _last_second = (seconds, text)
    return f"{text}.{rest // 1000:06}Z"


def text_field(name: str, value: Optional[str]) -> str:
    if type(value) is not str:
        value = given.text(name, value)
    return "" if value is None else f',"{name}":{quoted(value)}'


def id_field(name: str, identifier: Optional[str]) -> str:
    return "" if identifier is None else f',"{name}":"{identifier}"'


def error_field(error: Optional[str]) -> str:
    return "" if error is None else f',"error":{quoted(error[:_MAX_ERROR])}'


def details(
    kind: Optional[str], name: str, parent: Optional[str], is_alias: bool, model: Optional[str]
) -> str:
    """The details of a step, without their payload and without the closing brace."""
    if type(kind) is not str:
        kind = given.text("kind", kind)
    known = STEP_TYPES.get(kind)
    if known is None:
        known = f'"STEP_TYPE_OTHER","kind":{quoted(kind or "")}'
    found = f'"details":{{"step_type":{known},"name":{quoted(name)}'
    if parent is not None:
        found += f',"parent_step_id":"{parent}"'
        if is_alias:
            found += ',"parent_may_be_alias":true'
    return found + text_field("model", model)


def step_started(step: str, run: str, its_details: str) -> str:
    return f'"step_started":{{"step_id":"{step}","run_id":"{run}",{its_details}'


def step_ended(step: str, run: str, error: Optional[str]) -> str:
    return (
        f'"step_ended":{{"step_id":"{step}","run_id":"{run}","status":{_STATUSES[error is not None]}'
        f',"announced":true{error_field(error)}'
    )


def run_ended(run: str, error: Optional[str]) -> str:
    return f'"run_ended":{{"run_id":"{run}","status":{_STATUSES[error is not None]}{error_field(error)}'
