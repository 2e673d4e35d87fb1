"""What runs and steps have in common, and what is recorded within them."""

from __future__ import annotations

import functools
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, TypeVar, cast

from . import _context as context
from . import _events as events
from . import _given as given
from ._client import client
from ._held import Hold, hold, release
from ._ids import alias_id, new_id, parsed_id, span_id, traceparent
from ._scope import Gate, Scope, gate_of, payload_object, payload_text, payload_value
from ._values import error_text, quoted

if TYPE_CHECKING:
    from ._approvals import Approval
    from ._steps import Step

_ROLES = {name: f'"MESSAGE_ROLE_{name.upper()}"' for name in ("user", "assistant", "system", "tool")}
_ROLES["developer"] = _ROLES["system"]
_ROLES["function"] = _ROLES["tool"]
_ABANDONED = "abandoned: the program dropped it and did not end it"
_COUNTS = ("input", "output", "cache_read", "cache_write", "reasoning")

def role_name(role: str) -> str:
    """The role of a message, in JSON."""
    return _ROLES.get(given.text("role", role) or "", _ROLES["user"])


Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """A method that never raises: a fault of this library is counted, and the agent goes on."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except Exception:
            client.fault()
            return None

    return cast(Method, call)


class Node:
    """A run or a step. Without a scope it records nothing."""

    __slots__ = (
        "id", "ended", "parent", "output", "error", "metadata", "_scope", "_before", "_hold", "_generation",
        "__weakref__",
    )  # fmt: skip

    #: The id of the run or step, a UUIDv7.
    id: str
    #: True when the end was recorded.
    ended: bool
    #: The answer: any JSON, read when the run or step ends.
    output: Any
    #: What went wrong. Setting it makes the run or step failed.
    error: Optional[str]
    #: Further facts. What is added later is sent with the end.
    metadata: Dict[str, Any]
    parent: Optional[Node]
    _scope: Optional[Scope]
    # The process that began it, see Client.
    _generation: int
    # What was open where this was entered.
    _before: Optional[Node]
    # The generator that has entered it.
    _hold: Optional[Hold]

    @property
    def _step_id(self) -> Optional[str]:
        """The step that things recorded here belong to."""
        return None

    def _place(self) -> Node:
        """The innermost open node below this one, or this one."""
        found = context.innermost()
        above = found if found is not None and found._scope is self._scope else None
        while above is not None and above is not self:
            above = above.parent
        return self if above is None or found is None else found

    def _enter(self) -> None:
        if self._scope is not None:
            self._before = context.read()
            context.write(self)
            self._hold = hold(self, sys._getframe(2))

    def _leave(self) -> None:
        """Puts back what was open before, unless something else is open here now."""
        self._let_go()
        if self._scope is not None and context.read() is self:
            before, self._before = self._before, None
            while before is not None and before.ended:
                before = before.parent
            context.write(before)

    def _let_go(self) -> None:
        if self._hold is not None:
            release(self._hold)
            self._hold = None

    def end(self, error: Optional[BaseException] = None) -> None:
        """Records the end. With an error, it failed. Only the first call counts."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Nobody will end it, because nobody has it any more. That is no success."""
        self._let_go()
        if not self.ended and self._scope is not None:
            self.error = self.error or _ABANDONED
            self.end()

    def step(
        self,
        name: str,
        *,
        kind: Optional[str] = None,
        input: Any = None,
        model: Optional[str] = None,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> Step:
        """A step below this one, for use with `with`. Works in threads that know nothing of it."""
        from ._steps import Step

        return Step(name, kind, input, model, metadata, self)

    @guarded
    def message(
        self,
        role: str,
        content: Optional[str] = None,
        *,
        thinking: Optional[str] = None,
        tool_calls: Any = None,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Records a message. The role is `user`, `assistant`, `system` or `tool`."""
        scope = self._scope
        if scope is None:
            return
        head = (
            f'"message_appended":{{"message_id":"{new_id()}","run_id":"{scope.run}"'
            f'{events.id_field("session_id", scope.session)}{events.id_field("step_id", self._place()._step_id)}'
            f',"role":{role_name(role)},"seq":{scope.next_seq()}'
        )
        scope.put(
            head,
            (
                ("content", payload_text(content)),
                ("thinking", payload_text(thinking)),
                ("tool_calls_json", payload_value(tool_calls)),
                ("metadata_json", payload_object(metadata)),
            ),
        )

    @guarded
    def tokens(
        self,
        *,
        model: Optional[str] = None,
        input: Optional[int] = None,
        output: Optional[int] = None,
        cache_read: Optional[int] = None,
        cache_write: Optional[int] = None,
        reasoning: Optional[int] = None,
    ) -> None:
        """Counts tokens. `input` includes cached tokens, `output` includes reasoning."""
        scope = self._scope
        if scope is None:
            return
        figures = zip(_COUNTS, (input, output, cache_read, cache_write, reasoning))
        counts = [(name, given.count(f"{name} of tokens", figure)) for name, figure in figures]
        numbers = "".join(f',"{name}":{value}' for name, value in counts if value is not None)
        scope.put(
            f'"token_count":{{"token_count_id":"{new_id()}","run_id":"{scope.run}"'
            f'{events.id_field("step_id", self._place()._step_id)}{events.text_field("model", model)}{numbers}',
            (),
        )

    @guarded
    def score(
        self,
        name: str,
        value: Optional[float] = None,
        *,
        label: Optional[str] = None,
        comment: Optional[str] = None,
        source: Optional[str] = None,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Assesses the run or step, also after it has ended."""
        scope = self._scope
        if scope is None:
            return
        step = self._step_id if self.ended else self._place()._step_id
        head = _score_head(scope.run, step, name, value, label, source)
        scope.put(head, (("comment", payload_text(comment)), ("metadata_json", payload_object(metadata))))

    def approval(
        self,
        description: str,
        data: Any = None,
        *,
        action: Optional[str] = None,
        expires: Optional[float] = None,
    ) -> Approval:
        """Asks a person. `expires` is in seconds. The run is kept, whatever sampling says."""
        from ._approvals import Approval

        scope = self._scope
        if scope is None:
            return Approval(None)
        approval = Approval(new_id())
        try:
            self._ask(scope, approval, description, data, action, given.seconds("expires", expires))
        except Exception:
            client.fault()
            return Approval(None)  # the daemon will never know it
        return approval

    def _ask(
        self,
        scope: Scope,
        approval: Approval,
        description: str,
        data: Any,
        action: Optional[str],
        expires: Optional[float],
    ) -> None:
        scope.keep()
        deadline = None if expires is None else events.time_text(time.time_ns() + int(expires * 1e9))
        scope.put(
            f'"approval_requested":{{"approval_id":"{approval.id}","run_id":"{scope.run}"'
            f'{events.id_field("session_id", scope.session)}{events.id_field("step_id", self._place()._step_id)}'
            f'{events.text_field("action_type", action)}{events.text_field("expires_at", deadline)}',
            (("action_description", payload_text(description)), ("action_data_json", payload_value(data))),
        )

    @guarded
    def traceparent(self) -> Optional[str]:
        """The W3C header with which another agent goes on in this run, below this step."""
        scope = self._scope
        if scope is None:
            return None
        step = self._place()._step_id
        span = span_id(step or scope.run)
        if span not in scope.aliased:
            scope.aliased.add(span)
            alias = alias_id(scope.run, span)
            scope.put(
                f'"step_aliased":{{"alias_id":"{alias}","run_id":"{scope.run}"{events.id_field("step_id", step)}', ()
            )
        return traceparent(scope.run, span, scope.gate.kept)

    def _failure(self, error: Optional[BaseException]) -> Optional[str]:
        """The text of the error, if the run or step failed."""
        if error is None or isinstance(error, GeneratorExit):
            found = self.error
        elif isinstance(error, SystemExit) and not error.code:
            found = self.error
        else:
            found = error_text(error)
        if found is None:
            return None
        return payload_text(given.text("error", found)) or "unknown error"


@guarded
def score_by_id(
    run: Any,
    step: Any,
    name: str,
    value: Optional[float],
    label: Optional[str],
    comment: Optional[str],
    source: Optional[str],
    metadata: Optional[Dict[str, Any]],
) -> None:
    """Assesses a run, or a step of it, that this process need not know."""
    if client.settings.disabled:
        return
    run_id = parsed_id(given.text("run of a score", getattr(run, "id", run)))
    step_id = None if step is None else parsed_id(given.text("step of a score", getattr(step, "id", step)))
    if step is not None and step_id is None:
        given.odd("step of a score", step, "a step or the id of one")
    if run_id is None:
        given.odd("run of a score", run, "a run or the id of one")
        return
    scope = Scope(run_id, None, None, gate_of(run_id) or Gate(True))
    scope.put(
        _score_head(run_id, step_id, name, value, label, source),
        (("comment", payload_text(comment)), ("metadata_json", payload_object(metadata))),
    )


def _score_head(
    run: str, step: Optional[str], name: str, value: Optional[float], label: Optional[str], source: Optional[str]
) -> str:
    number = given.number("value of a score", value)
    if number is None and isinstance(value, str) and label is None:  # such as "good"
        label = value
    figure = "" if number is None else f',"value":{_number(number)}'
    return (
        f'"score_added":{{"score_id":"{new_id()}","run_id":"{run}"{events.id_field("step_id", step)}'
        f',"name":{quoted(given.text("name", name) or "")}{figure}{events.text_field("label", label)}{events.text_field("source", source)}'
    )


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    text = json.dumps(float(value))
    # The daemon refuses NaN and infinities, and says why.
    return f'"{text}"' if text[-1] in "Ny" else text
