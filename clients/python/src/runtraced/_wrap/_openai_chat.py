"""OpenAI's Chat Completions, and what speaks like it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ._dialect import Collector, Reply, Said, error_of, get, text_of, tool_call


class ChatCompletions:
    name = "chat.completions"

    def request(self, body: Dict[str, Any]) -> List[Said]:
        return [_said(message) for message in body.get("messages") or [] if isinstance(message, dict)]

    def is_continued(self, body: Dict[str, Any]) -> bool:
        return False

    def reply(self, answer: Dict[str, Any]) -> Reply:
        choices = answer.get("choices") or []
        said = [_said(choice.get("message") or {}, _facts(answer, choice)) for choice in choices]
        outputs = [_output(one) for one in said]
        output = outputs[0] if len(outputs) == 1 else outputs or None
        # Gateways answer with an error and status 200 if their provider fails.
        errors = [error_of(get(one, "error")) for one in (answer, *choices)]
        error = next(filter(None, errors), None)
        return Reply(said, output, tokens(answer.get("usage")), answer.get("model"), error)

    def collector(self) -> Collector:
        return _Chunks()


def tokens(usage: Any) -> Dict[str, Optional[int]]:
    if not usage:
        return {}
    return {
        "input": get(usage, "prompt_tokens"),
        "output": get(usage, "completion_tokens"),
        "cache_read": get(usage, "prompt_tokens_details", "cached_tokens"),
        "cache_write": get(usage, "prompt_tokens_details", "cache_write_tokens"),
        "reasoning": get(usage, "completion_tokens_details", "reasoning_tokens"),
    }


def _facts(answer: Dict[str, Any], choice: Dict[str, Any]) -> Dict[str, Any]:
    facts = {"response_id": answer.get("id"), "finish_reason": choice.get("finish_reason")}
    return {name: value for name, value in facts.items() if value is not None}


def _said(message: Dict[str, Any], facts: Optional[Dict[str, Any]] = None) -> Said:
    calls = [_call(call) for call in message.get("tool_calls") or []]
    facts = dict(facts or {})
    if message.get("tool_call_id"):
        facts["tool_call_id"] = message["tool_call_id"]
    return Said(
        role=str(message.get("role") or "assistant"),
        content=text_of(message.get("content")) or message.get("refusal"),
        thinking=message.get("reasoning_content") or message.get("reasoning"),
        tool_calls=calls or None,
        metadata=facts or None,
    )


def _call(call: Dict[str, Any]) -> Dict[str, Any]:
    function = call.get("function") or call.get("custom") or {}
    return tool_call(call.get("id"), function.get("name"), function.get("arguments", function.get("input")))


def _output(said: Said) -> Any:
    if said.tool_calls is None:
        return said.content
    return {**({"content": said.content} if said.content else {}), "tool_calls": said.tool_calls}


class _Chunks:
    def __init__(self) -> None:
        self._answer: Dict[str, Any] = {}
        self._choices: Dict[int, Dict[str, Any]] = {}

    def add(self, part: Any) -> None:
        for name in ("id", "model"):
            if get(part, name):
                self._answer[name] = get(part, name)
        if get(part, "usage"):
            self._answer["usage"] = get(part, "usage")
        for choice in get(part, "choices") or ():
            self._add_choice(choice)

    def _add_choice(self, choice: Any) -> None:
        found = self._choices.setdefault(get(choice, "index") or 0, {"message": {"role": "assistant"}})
        if get(choice, "finish_reason"):
            found["finish_reason"] = get(choice, "finish_reason")
        delta, message = get(choice, "delta"), found["message"]
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            text = get(delta, name)
            if isinstance(text, str):
                message[name] = message.get(name, "") + text
        for call in get(delta, "tool_calls") or ():
            self._add_call(message.setdefault("tool_calls", []), call)

    def _add_call(self, calls: List[Dict[str, Any]], part: Any) -> None:
        """Some servers give each call the index 0, and say by another id that a call begins."""
        index, identifier = get(part, "index") or 0, get(part, "id")
        found = next((call for call in reversed(calls) if call["index"] == index), None)
        if found is None or (identifier and found["id"] and identifier != found["id"]):
            found = {"index": index, "id": None, "function": {"name": "", "arguments": ""}}
            calls.append(found)
        found["id"] = identifier or found["id"]
        function = found["function"]
        function["name"] += get(part, "function", "name") or get(part, "custom", "name") or ""
        function["arguments"] += get(part, "function", "arguments") or get(part, "custom", "input") or ""

    def answer(self) -> Optional[Dict[str, Any]]:
        if not self._answer and not self._choices:
            return None
        return {**self._answer, "choices": [self._choices[index] for index in sorted(self._choices)]}
