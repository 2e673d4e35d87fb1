"""One call of a model, as a step with its messages and tokens. Nothing here raises."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from .. import _context as context
from .. import _events as events
from .._client import client
from .._ids import message_id, new_id
from .._nodes import role_name
from .._scope import Scope, payload_object, payload_text, payload_value
from .._steps import Step
from .._values import Value, plain_json, restored
from ._dialect import Collector, Dialect, Said, plain
from ._request import copied

# What makes two messages equal: role, text, calls of tools, and the call that it answers.
Key = Tuple[str, Optional[str], Optional[Value], Optional[str]]

_MOST_KNOWN_IDS = 20_000
_LEFT_OUT = ("model", "stream", "stream_options")


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
        model = body.get("model")
        self._model = model if isinstance(model, str) else None
        asked = copied({name: value for name, value in body.items() if name not in _LEFT_OUT})
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
        key: Key = (said.role, text, calls, None if answered is None else str(answered))
        identifier = self._identifier(scope, key, is_answer)
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


    def _identifier(self, scope: Scope, key: Key, is_answer: bool) -> Optional[str]:
        """The id of a message, the same wherever it is repeated. None if it was said before."""
        role = key[0]
        if self._is_continued and role != "system":
            return new_id()  # the provider keeps the history, so nothing is repeated
        within = scope.session or scope.run
        first = _first_id(within, key)
        occurrence = self._counts[first] = self._counts.get(first, 0) + 1
        sayings = scope.gate.sayings
        if is_answer:
            number: Optional[int] = sayings.answered(first, scope.run, occurrence)
        else:
            number = sayings.asked(first, scope.run, occurrence, self._begins and role != "system")
        if number is None:
            return None
        return first if number == 1 else message_id(within, _content(key), number)


def _first_id(within: str, key: Key) -> str:
    """The id of the first of equal messages. Python keeps the hash of a text, so a history costs little."""
    known = client.message_ids
    short = (within, hash(key), len(key[1] or ""))
    found = known.get(short)
    if found is None:
        if len(known) >= _MOST_KNOWN_IDS:
            known.clear()
        found = known[short] = message_id(within, _content(key), 1)
    return found


def _content(key: Key) -> bytes:
    role, text, calls, answered = key
    return plain_json([role, text, restored(calls), answered]).encode("utf-8", "surrogatepass")


def begin(dialect: Dialect, body: Any) -> Optional[Call]:
    """A call, if it happens within a run."""
    if context.innermost() is None or not isinstance(body, dict):
        return None
    return Call(dialect, body)
