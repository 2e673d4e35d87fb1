"""Runs: one execution of an agent each."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Union

from . import _context as context
from . import _events as events
from . import _given as given
from ._client import client
from ._ids import alias_id, new_id, parsed_id, parsed_traceparent, session_id
from ._nodes import Node
from ._scope import Gate, Scope, closed, gate_of, is_sampled, opened, payload_object, payload_text
from ._steps import Step
from ._values import Value, as_value

_MOST_KNOWN_SESSIONS = 1024


class Run(Node):
    """An open run. Use it with `with`, or call `start` and `end`."""

    __slots__ = (
        "agent", "name", "type", "input", "session", "session_title", "user", "customer", "tags", "timeout",
        "_traceparent", "_sample", "_step", "_is_root", "_is_called", "_sent_metadata",
    )  # fmt: skip

    def __init__(
        self,
        agent: str,
        *,
        name: Optional[str] = None,
        type: Optional[str] = None,
        input: Any = None,
        session: Optional[str] = None,
        session_title: Optional[str] = None,
        user: Optional[str] = None,
        customer: Optional[str] = None,
        tags: Sequence[str] = (),
        metadata: Optional[Dict[str, Any]] = None,
        timeout: Optional[float] = None,
        sample: Optional[float] = None,
        traceparent: Union[str, Mapping[str, str], None] = None,
    ) -> None:
        self.id = new_id()
        self.agent = agent
        self.name = name
        self.type = type
        self.input = input
        self.session = session
        self.session_title = session_title
        self.user = user
        self.customer = customer
        self.tags = tags
        self.metadata = given.facts(metadata)
        self.timeout = timeout
        self.output = None
        self.error = None
        self.ended = False
        self.parent: Optional[Node] = None
        self._scope = None
        self._hold = None
        self._generation = client.generation
        self._traceparent = traceparent
        self._sample = sample
        # The hand-off in the parent or in the caller.
        self._step: Optional[Step] = None
        self._is_root = False
        self._is_called = False
        self._sent_metadata: Dict[str, Optional[Value]] = {}

    @property
    def _step_id(self) -> Optional[str]:
        return self._step.id if self._is_called and self._step is not None else None

    def __enter__(self) -> Run:
        self.start()
        self._enter()
        return self

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self._leave()
        self.end(error)

    def start(self) -> None:
        """Records the start. Does not become what is open here."""
        if client.settings.disabled or self._scope is not None:
            return
        try:
            above = context.innermost()
            if above is not None and (above.ended or above._scope is None):
                above = None
            self.parent = above
            caller = _caller(self._traceparent)
            if caller is not None:
                self._start_called(*caller)
            else:
                self._start_own(above)
        except Exception:
            client.fault()

    def _start_own(self, above: Optional[Node]) -> None:
        over = None if above is None else above._scope
        session = _session(self.session) or (None if over is None else over.session)
        customer = _customer(self.customer) or (None if over is None else over.customer)
        self._is_root = over is None
        gate = self._new_gate() if over is None else over.gate
        scope = Scope(self.id, session, customer, gate)
        if over is not None:
            self._step = Step(self.agent, "agent", metadata={"run_id": self.id})
            self._step.start(above)
        self._tell_session(scope)
        facts = given.facts(self.metadata)
        self._sent_metadata = {key: as_value(value) for key, value in facts.items()}
        user, tags = given.text("user", self.user), given.texts("tags", self.tags)
        if user is not None and (session is None or parsed_id(user) is None):
            facts["user"] = user
        if tags:
            facts["tags"] = tags
        silence = given.timeout(self.timeout)
        seconds = "" if silence is None else f',"timeout":"{_seconds(silence)}s"'
        self._scope = scope
        scope.put(
            f'"run_started":{{"run_id":"{self.id}"{events.id_field("session_id", session)}'
            f'{events.id_field("parent_run_id", over.run if over is not None else None)}'
            f'{events.id_field("customer_id", customer)}{events.text_field("agent_id", self.agent)}'
            f'{events.text_field("agent_type", self.type)}{events.text_field("name", self.name)}{seconds}',
            (("input", payload_text(self.input)), ("metadata_json", payload_object(facts))),
        )
        opened(scope, silence)

    def _start_called(self, run: str, span: str, kept: bool) -> None:
        """Goes on in the run of a caller, as a hand-off."""
        self.id = run
        self._is_called = True
        # The caller may be in this process.
        shared = None if kept else gate_of(run)
        self._is_root = shared is None
        scope = Scope(run, _session(self.session), None, shared or Gate(kept, keeps_failures=False))
        self._tell_session(scope)
        self._step = Step(self.agent, "agent", self.input, metadata=self.metadata)
        self._step._alias = alias_id(run, span)
        self._scope = scope
        self._step.start(self)
        self._step.parent = None  # or they would hold each other

    def _new_gate(self) -> Gate:
        share = given.number("sample", self._sample)
        return Gate(is_sampled(client.settings.sample if share is None else share))

    def _tell_session(self, scope: Scope) -> None:
        """Sends what is known about the session, unless that was sent before."""
        if self.session is None or scope.session is None:
            return
        own_id = parsed_id(self.session) is not None
        name = given.text("user", self.user)
        user = None if name is None else parsed_id(name)
        told = (
            user,
            payload_text(self.session_title),
            None if own_id else given.text("session", self.session),
            payload_object({"user": name}) if name is not None and user is None else None,
        )
        known = client.known_sessions
        if not any(told) or known.get(scope.session) == told:
            return
        if scope.gate.kept:
            if len(known) >= _MOST_KNOWN_SESSIONS:
                known.clear()
            known[scope.session] = told
        payload: events.Payload = (("title", told[1]), ("external_id", told[2]), ("metadata_json", told[3]))
        scope.put(f'"session_upsert":{{"session_id":"{scope.session}"{events.id_field("user_id", user)}', payload)

    def end(self, error: Optional[BaseException] = None) -> None:
        """Records the end. With an error, the run failed. Only the first call counts."""
        scope = self._scope
        if self.ended or scope is None:
            return
        self.ended = True
        # After a fork, the parent process ends what it began.
        if self._generation != client.generation:
            return
        try:
            self._end(scope, error)
        except Exception:
            client.fault()

    def _end(self, scope: Scope, error: Optional[BaseException]) -> None:
        failure = self._failure(error)
        if self._is_called and self._step is not None:
            self._step.output = self.output
            self._step.metadata = self.metadata
        else:
            metadata = payload_object(self._late_metadata())
            payload: events.Payload = (("output", payload_text(self.output)), ("metadata_json", metadata))
            scope.put(events.run_ended(self.id, failure), payload)
            closed(scope)
        if self._step is not None:
            self._step.finish(failure)
        if failure is not None:
            scope.gate.fail()
        if self._is_root:
            scope.gate.close()

    def _late_metadata(self) -> Dict[str, Any]:
        """What was added to the metadata after the start."""
        sent = self._sent_metadata
        return {k: v for k, v in given.facts(self.metadata).items() if k not in sent or sent[k] != as_value(v)}

    def __del__(self) -> None:
        self._abandon()


def _session(session: Optional[str]) -> Optional[str]:
    name = given.text("session", session)
    if name is None:
        return None
    return parsed_id(name) or session_id(name, client.settings.customer)


def _customer(customer: Optional[str]) -> Optional[str]:
    name = given.text("customer", customer)
    found = parsed_id(name) if name else None
    if name and found is None:
        given.odd("customer", customer, "a UUID")
    return found


def _seconds(timeout: float) -> str:
    return f"{timeout:.6f}".rstrip("0").rstrip(".")


def _caller(headers: Union[str, Mapping[str, str], None]) -> Any:
    if headers is None:
        return None
    try:
        return parsed_traceparent(_header(headers))
    except Exception:
        given.odd("traceparent", headers, "a header or all headers")
        return None


def _header(headers: Any) -> Any:
    """The header. The headers may be a mapping, or pairs as in ASGI, of texts or bytes."""
    if isinstance(headers, (str, bytes)):
        return _decoded(headers)
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        if _decoded(name).lower() == "traceparent":
            return _decoded(value)
    return None


def _decoded(text: Any) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)
