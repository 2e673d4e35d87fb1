"""OpenAI's Responses, and its embeddings."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ._dialect import Collector, Reply, Said, error_of, get, plain, text_of, tool_call


class Responses:
    name = "responses"

    def request(self, body: Dict[str, Any]) -> List[Said]:
        said = [Said("system", text_of(body["instructions"]))] if body.get("instructions") else []
        given = body.get("input")
        if isinstance(given, str):
            return [*said, Said("user", given)]
        return said + _items(given or [], None)

    def is_continued(self, body: Dict[str, Any]) -> bool:
        return bool(body.get("previous_response_id") or body.get("conversation"))

    def reply(self, answer: Dict[str, Any]) -> Reply:
        facts = {"response_id": answer.get("id"), "finish_reason": answer.get("status")}
        said = _items(answer.get("output") or [], {name: value for name, value in facts.items() if value})
        texts = [one.content for one in said if one.content]
        calls = [call for one in said for call in one.tool_calls or ()]
        output: Any = "\n".join(texts) or None
        if calls:
            output = {**({"content": output} if output else {}), "tool_calls": calls}
        return Reply(said, output, _tokens(answer.get("usage")), answer.get("model"), _error(answer))

    def collector(self) -> Collector:
        return _Events()


def _error(answer: Dict[str, Any]) -> Optional[str]:
    """Why the answer is none, or not all of it."""
    status = answer.get("status")
    if status not in ("failed", "incomplete", "cancelled"):
        return None
    reason = error_of(answer.get("error")) or get(answer, "incomplete_details", "reason")
    return f"{status}: {reason}" if reason else str(status)


def _tokens(usage: Any) -> Dict[str, Optional[int]]:
    if not usage:
        return {}
    return {
        "input": get(usage, "input_tokens"),
        "output": get(usage, "output_tokens"),
        "cache_read": get(usage, "input_tokens_details", "cached_tokens"),
        "cache_write": get(usage, "input_tokens_details", "cache_write_tokens"),
        "reasoning": get(usage, "output_tokens_details", "reasoning_tokens"),
    }


def _items(items: List[Any], facts: Optional[Dict[str, Any]]) -> List[Said]:
    """Each item as a message. Reasoning belongs to what comes after it."""
    said: List[Said] = []
    thinking: Optional[str] = None
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = item.get("type", "message")
        if kind == "reasoning":
            thinking = text_of(item.get("summary")) or text_of(item.get("content")) or thinking
        elif kind == "message":
            said.append(Said(str(item.get("role") or "assistant"), text_of(item.get("content")), thinking, None, facts))
            thinking = None
        elif kind.endswith("_call_output"):
            about = {"tool_call_id": item["call_id"]} if item.get("call_id") else None
            said.append(Said("tool", text_of(item.get("output")), None, None, about))
        elif kind.endswith("_call"):
            name = item.get("name") or kind[: -len("_call")]
            call = tool_call(item.get("call_id") or item.get("id"), name, item.get("arguments", item.get("input")))
            said.append(Said("assistant", None, thinking, [call], facts))
            thinking = None
    if thinking and facts:  # an answer that got no further
        said.append(Said("assistant", None, thinking, None, facts))
    return said


class _Events:
    """Its last event holds the whole response."""

    def __init__(self) -> None:
        self._answer: Any = None
        self._text = ""

    def add(self, part: Any) -> None:
        response = get(part, "response")
        if response is not None:
            self._answer = response
        elif get(part, "type") == "response.output_text.delta":
            self._text += get(part, "delta") or ""
        elif get(part, "type") == "error":
            error = {"code": get(part, "code"), "message": get(part, "message")}
            self._answer = {**(plain(self._answer) or {}), "status": "failed", "error": error}

    def answer(self) -> Optional[Dict[str, Any]]:
        answer = plain(self._answer)
        if answer is None:
            return None
        found: Dict[str, Any] = dict(answer)
        if not found.get("output") and self._text:  # the stream was not read to its end
            found["output"] = [{"type": "message", "content": self._text}]
        return found


class Embeddings:
    name = "embeddings"

    def request(self, body: Dict[str, Any]) -> List[Said]:
        return []

    def is_continued(self, body: Dict[str, Any]) -> bool:
        return False

    def reply(self, answer: Dict[str, Any]) -> Reply:
        vectors = answer.get("data") or []
        tokens = {"input": get(answer, "usage", "prompt_tokens")}
        return Reply([], {"embeddings": len(vectors)}, tokens, answer.get("model"))

    def collector(self) -> Collector:
        return _Events()
