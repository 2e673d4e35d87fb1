"""Steps: what an agent does in a run."""

from __future__ import annotations

from typing import Any, Dict, Optional

from . import _context as context
from . import _events as events
from . import _given as given
from ._client import client
from ._ids import new_id
from ._nodes import Node
from ._scope import payload_object, payload_value
from ._values import Json, Value


class Step(Node):
    """An open step. Use it with `with`, or call `start` and `end`."""

    __slots__ = ("name", "kind", "model", "input", "_sent_input", "_sent_metadata", "_sent_model", "_alias", "_within")

    def __init__(
        self,
        name: str,
        kind: Optional[str] = None,
        input: Any = None,
        model: Optional[str] = None,
        metadata: Optional[Dict[str, Any]] = None,
        within: Optional[Node] = None,
    ) -> None:
        self.id = new_id()
        self.name = name
        self.kind = kind
        self.input = input
        self.model = model
        self.metadata = {} if metadata is None else given.facts(metadata)
        self.output = None
        self.error = None
        self.ended = False
        self.parent: Optional[Node] = None
        self._scope = None
        self._hold = None
        self._generation = client.generation
        self._alias: Optional[str] = None
        self._within = within

    @property
    def _step_id(self) -> Optional[str]:
        return self.id

    def __enter__(self) -> Step:
        self.start()
        self._enter()
        return self

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        self._leave()
        self.end(error)

    def start(self, parent: Optional[Node] = None) -> None:
        """Records the start, below `parent` or what is open here. Does not become what is open."""
        try:
            above = parent or (context.innermost() if self._within is None else self._within._place())
            if above is None or self._scope is not None:
                return
            scope = above._scope
            if scope is None:
                return
            self.parent = above
            self._sent_input: Optional[Value] = None if self.input is None else payload_value(self.input)
            self._sent_metadata = payload_object(self.metadata)
            self._sent_model = self.model
            self._scope = scope
            scope.put(
                events.step_started(self.id, scope.run, self._details()),
                (("input_json", self._sent_input), ("metadata_json", self._sent_metadata)),
                "}}",
            )
        except Exception:
            client.fault()

    def _details(self) -> str:
        above = self.parent
        over = self._alias or (None if above is None else above._step_id)
        return events.details(self.kind, given.text("name", self.name) or "step", over, self._alias is not None, self._sent_model)

    def end(self, error: Optional[BaseException] = None) -> None:
        """Records the end. With an error, the step failed. Only the first call counts."""
        scope = self._scope
        if self.ended or scope is None:
            return
        try:
            self.finish(self._failure(error) if error is not None or self.error is not None else None)
        except Exception:
            client.fault()

    def finish(self, failure: Optional[str]) -> None:
        """Records the end. The text of the failure is masked already."""
        scope = self._scope
        if self.ended or scope is None:
            return
        self.ended = True
        # After a fork, the parent process ends what it began.
        if self._generation != client.generation:
            return
        try:
            output = None if self.output is None else payload_value(self.output)
            payload: events.Payload = (("output_json", output),)
            if type(self.metadata) is not dict or self.metadata or self.model != self._sent_model:
                payload += self._late_details()
            scope.put(events.step_ended(self.id, scope.run, failure), payload)
        except Exception:
            client.fault()

    def _late_details(self) -> events.Payload:
        """The details once more, if something in them became known after the start."""
        metadata = payload_object(self.metadata)
        if metadata == self._sent_metadata and self.model == self._sent_model:
            return ()
        self._sent_model = self.model
        return (
            (None, Json("," + self._details())),
            ("input_json", self._sent_input),
            ("metadata_json", metadata),
            (None, Json("}")),
        )

    def __del__(self) -> None:
        self._abandon()
