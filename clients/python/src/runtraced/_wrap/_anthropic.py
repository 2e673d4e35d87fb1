"""Anthropic's Messages."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from ._dialect import Collector, Reply, Said, get, plain, text_of, tool_call


class Messages:
    name = "messages"

    def request(self, body: Dict[str, Any]) -> List[Said]:
        said = [Said("system", text_of(body["system"]))] if body.get("system") else []
        for message in body.get("messages") or []:
            said.extend(_said(str(get(message, "role") or "user"), get(message, "content"), None))
        return said

    def is_continued(self, body: Dict[str, Any]) -> bool:
        return False

    def reply(self, answer: Dict[str, Any]) -> Reply:
        facts = {"response_id": answer.get("id"), "finish_reason": answer.get("stop_reason")}
        facts = {name: value for name, value in facts.items() if value}
        said = _said("assistant", answer.get("content"), facts)
        texts = [one.content for one in said if one.content]
        calls = [call for one in said for call in one.tool_calls or ()]
        output: Any = "\n".join(texts) or None
        if calls:
            output = {**({"content": output} if output else {}), "tool_calls": calls}
        return Reply(said, output, _tokens(answer.get("usage")), answer.get("model"))

    def collector(self) -> Collector:
        return _Events()


def _tokens(usage: Any) -> Dict[str, Optional[int]]:
    """Anthropic counts cached tokens apart; here they are part of the input."""
    if not usage:
        return {}
    read, written = get(usage, "cache_read_input_tokens"), get(usage, "cache_creation_input_tokens")
    fresh = get(usage, "input_tokens")
    return {
        "input": None if fresh is None else fresh + (read or 0) + (written or 0),
        "output": get(usage, "output_tokens"),
        "cache_read": read,
        "cache_write": written,
        "reasoning": get(usage, "output_tokens_details", "thinking_tokens"),
    }


def _said(role: str, content: Any, facts: Optional[Dict[str, Any]]) -> List[Said]:
    """A message; and one for each result of a tool in it."""
    if not isinstance(content, list):
        return [Said(role, text_of(content), None, None, facts)]
    results: List[Said] = []
    parts: List[Any] = []
    calls: List[Dict[str, Any]] = []
    thinking: List[str] = []
    for block in content:
        kind = get(block, "type") or ""
        if kind.endswith("tool_result"):
            about = {"tool_call_id": get(block, "tool_use_id"), **({"is_error": True} if get(block, "is_error") else {})}
            results.append(Said("tool", text_of(get(block, "content")), None, None, about))
        elif kind.endswith("tool_use"):
            calls.append(tool_call(get(block, "id"), get(block, "name"), get(block, "input")))
        elif kind == "thinking":
            thinking.append(get(block, "thinking") or "")
        elif kind != "redacted_thinking":
            parts.append(block)
    if not (parts or calls or thinking):
        return results
    return [*results, Said(role, text_of(parts), "\n".join(thinking) or None, calls or None, facts)]


class _Events:
    def __init__(self) -> None:
        self._answer: Optional[Dict[str, Any]] = None
        self._blocks: Dict[int, Dict[str, Any]] = {}

    def add(self, part: Any) -> None:
        kind = get(part, "type")
        if kind == "message_start":
            self._answer = dict(plain(get(part, "message")))
        elif kind == "content_block_start":
            block = dict(plain(get(part, "content_block")))
            self._blocks[get(part, "index") or 0] = {**block, "_json": ""}
        elif kind == "content_block_delta":
            self._add_delta(self._blocks.setdefault(get(part, "index") or 0, {"_json": ""}), get(part, "delta"))
        elif kind == "message_delta" and self._answer is not None:
            usage = plain(get(part, "usage")) or {}
            self._answer["usage"] = {
                **(self._answer.get("usage") or {}),
                **{name: value for name, value in usage.items() if value is not None},
            }
            self._answer["stop_reason"] = get(part, "delta", "stop_reason")

    def _add_delta(self, block: Dict[str, Any], delta: Any) -> None:
        kind = get(delta, "type")
        if kind == "text_delta":
            block["text"] = block.get("text", "") + get(delta, "text")
        elif kind == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + get(delta, "thinking")
        elif kind == "input_json_delta":
            block["_json"] += get(delta, "partial_json")

    def answer(self) -> Optional[Dict[str, Any]]:
        if self._answer is None:
            return None
        return {**self._answer, "content": [_finished(self._blocks[index]) for index in sorted(self._blocks)]}


def _finished(block: Dict[str, Any]) -> Dict[str, Any]:
    block = dict(block)
    text = block.pop("_json")
    if text:
        try:
            block["input"] = json.loads(text)
        except ValueError:  # the stream was not read to its end
            block["input"] = text
    return block
