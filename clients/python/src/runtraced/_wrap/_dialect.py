"""What each API has to tell about its requests and answers."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Protocol

from .._values import json_text


class Said(NamedTuple):
    """A message."""

    role: str
    content: Optional[str] = None
    thinking: Optional[str] = None
    tool_calls: Optional[List[Dict[str, Any]]] = None
    metadata: Optional[Dict[str, Any]] = None


class Reply(NamedTuple):
    """What a call has answered."""

    said: List[Said]
    output: Any
    # Arguments of `tokens`.
    tokens: Dict[str, Optional[int]]
    model: Optional[str]
    # Why it is no whole answer.
    error: Optional[str] = None


class Collector(Protocol):
    """Puts the parts of a stream together."""

    def add(self, part: Any) -> None: ...

    def answer(self) -> Optional[Dict[str, Any]]:
        """The answer so far, in the form of an answer that was not streamed."""
        ...


class Dialect(Protocol):
    """How one API writes its requests and answers."""

    name: str

    def request(self, body: Dict[str, Any]) -> List[Said]: ...

    def is_continued(self, body: Dict[str, Any]) -> bool:
        """Whether the provider keeps the history, so that the request has only what is new."""
        ...

    def reply(self, answer: Dict[str, Any]) -> Reply: ...

    def collector(self) -> Collector: ...


def get(thing: Any, *names: str) -> Any:
    """A member of a member, of objects or dicts. None if one is missing."""
    for name in names:
        thing = thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
        if thing is None:
            return None
    return thing


def plain(thing: Any) -> Any:
    """An object of the SDK as dicts, without what the server did not send."""
    dump = getattr(thing, "model_dump", None)
    if dump is None:
        return thing
    try:
        return dump(mode="json", exclude_unset=True, warnings=False)
    except Exception:  # a field that cannot be written
        return json.loads(json_text(thing))


def error_of(error: Any) -> Optional[str]:
    """An error of an API: `code: message`."""
    if not error:
        return None
    said = [str(part) for part in (get(error, "code") or get(error, "type"), get(error, "message")) if part]
    return ": ".join(said) or str(error)


def tool_call(identifier: Any, name: Any, arguments: Any) -> Dict[str, Any]:
    """Arguments that are JSON in a text become JSON."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            pass
    return {"id": identifier, "name": name, "arguments": arguments}


def text_of(content: Any) -> Optional[str]:
    """The text of a content that is a text or a list of parts. Other parts are named."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = part.get("text", part.get("refusal"))
            texts.append(text if isinstance(text, str) else f"[{part.get('type', 'part')}]")
    return "\n".join(texts) if texts else None
