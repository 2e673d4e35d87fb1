"""One call of a model, as a step with its messages and tokens. Nothing here raises."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from .. import _context as context
from .. import _events as events
from .._client import client
from .._ids import message_id, new_id
from .._nodes import role_name
from .._scope import Scope, payload_object, payload_text, payload_value
from .._steps import Step
from .._values import json_text, restored
from ._dialect import Collector, Dialect, Said, plain

_LEFT_OUT = ("model", "stream", "stream_options")
# A media file in a request becomes its size.
_LONGEST_DATA = 4096


class Call:
    def __init__(self, dialect: Dialect, body: Dict[str, Any]) -> None:
        self._dialect = dialect
        self._collector: Optional[Collector] = None
        self._is_read_later = False
        self._model: Optional[str] = None
        self._step: Optional[Step] = None
        # How often each message occurs in this call, by the id of the first.
        self._counts: Dict[str, int] = {}
        try:
            self._begin(body)
        except Exception:
            client.fault()

    def _begin(self, body: Dict[str, Any]) -> None:
        given = {name: value for name, value in body.items() if type(value).__name__ not in ("Omit", "NotGiven")}
        asked: Dict[str, Any] = json.loads(json_text(given))
        self._model = asked.get("model")
        asked = {name: _without_data(value) for name, value in asked.items() if name not in _LEFT_OUT}
        step = Step(self._dialect.name, "llm", asked, self._model)
        step.start()
        self._step = step
        messages = self._dialect.request(asked)
        self._begins = not any(said.role in ("assistant", "tool") for said in messages)
        self._is_continued = self._dialect.is_continued(asked)
        for said in messages:
            self._record(said, is_answer=False)

    def finish(self, answer: Any) -> None:
        """The call has answered."""
        try:
            self._answered(plain(answer))
        except Exception:
            client.fault()
        self.end(None)

    def end(self, error: Optional[BaseException]) -> None:
        """The call is over. What a stream has brought so far is recorded."""
        collector, self._collector = self._collector, None
        if collector is not None:
            try:
                answer = collector.answer()
                if answer is not None:
                    self._answered(answer)
            except Exception:
                client.fault()
        if self._step is not None:
            self._step.end(error)

    def add(self, part: Any) -> None:
        """A part of a stream."""
        try:
            if self._collector is not None:
                self._collector.add(part)
        except Exception:
            self._collector = None
            client.fault()

    def streams(self) -> None:
        self._collector = self._dialect.collector()
        self._is_read_later = True

    def is_read_later(self) -> None:
        """The model has answered, and the caller reads the answer by itself."""
        self._is_read_later = True

    def __del__(self) -> None:
        if self._is_read_later:  # the caller has dropped the answer, which is no failure
            self.end(None)

    def _answered(self, answer: Any) -> None:
        step = self._step
        if step is None or step._scope is None or step.ended or not isinstance(answer, dict):
            return
        reply = self._dialect.reply(answer)
        for said in reply.said:
            self._record(said, is_answer=True)
        step.output = reply.output
        step.error = reply.error
        if any(count is not None for count in reply.tokens.values()):
            step.tokens(model=reply.model or self._model, **reply.tokens)

    def _record(self, said: Said, is_answer: bool) -> None:
        """A message, unless it was sent before: each call repeats all messages so far."""
        step = self._step
        scope = None if step is None else step._scope
        if step is None or scope is None:
            return
        # The id is derived from what is sent: a hash of a masked text tells nothing of the text.
        text, calls = payload_text(said.content), payload_value(said.tool_calls)
        answered = (said.metadata or {}).get("tool_call_id")
        content = json_text([said.role, text, restored(calls), answered]).encode("utf-8", "surrogatepass")
        identifier = self._identifier(scope, said.role, content, is_answer)
        if identifier is None:
            return
        mark = ',"believed_new":true' if is_answer else ""
        head = (
            f'"message_appended":{{"message_id":"{identifier}","run_id":"{scope.run}"'
            f'{events.id_field("session_id", scope.session)},"step_id":"{step.id}","role":{role_name(said.role)}'
            f',"seq":{scope.next_seq()},"sighting":true{mark}'
        )
        scope.put(
            head,
            (
                ("content", text),
                ("thinking", payload_text(said.thinking)),
                ("tool_calls_json", calls),
                ("metadata_json", payload_object(said.metadata)),
            ),
        )


    def _identifier(self, scope: Scope, role: str, content: bytes, is_answer: bool) -> Optional[str]:
        """The id of a message, the same wherever it is repeated. None if it was said before."""
        if self._is_continued and role != "system":
            return new_id()  # the provider keeps the history, so nothing is repeated
        within = scope.session or scope.run
        first = message_id(within, content, 1)
        occurrence = self._counts[first] = self._counts.get(first, 0) + 1
        sayings = scope.gate.sayings
        if is_answer:
            number: Optional[int] = sayings.answered(first, scope.run, occurrence)
        else:
            number = sayings.asked(first, scope.run, occurrence, self._begins and role != "system")
        if number is None:
            return None
        return first if number == 1 else message_id(within, content, number)


def begin(dialect: Dialect, body: Any) -> Optional[Call]:
    """A call, if it happens within a run."""
    if context.innermost() is None or not isinstance(body, dict):
        return None
    return Call(dialect, body)


def _without_data(value: Any) -> Any:
    """A value with the sizes of long media files in their places."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), str) and len(value["data"]) > _LONGEST_DATA:
            value = {**value, "data": f"[{len(value['data'])} characters]"}
        return {name: _without_data(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if isinstance(value, str) and len(value) > _LONGEST_DATA and value.startswith("data:"):
        kind = value[5:100].partition(";")[0]
        return f"[{kind}, {len(value)} characters]"
    return value
