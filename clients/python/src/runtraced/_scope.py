"""What all nodes of a run share: where its events go, and whether they are kept."""

from __future__ import annotations

import os
import time
import weakref
from typing import Any, Dict, Optional, Set

from . import _events as events
from ._client import client
from ._events import Item, Payload
from ._queue import EventQueue
from ._sayings import Sayings
from ._settings import MIB
from ._values import Value, as_object, as_text, as_value

# What a left-out run may hold back in memory, for the case that it fails.
_HELD_BYTES = MIB
_MOST_LEFT_OUT = 20_000
_HEARTBEAT_S = 60.0
_MASKING_FAILED = "[masking failed]"


class Gate:
    """The decision of sampling, shared by a run and all runs below it.

    A run that is left out sends nothing, or all of it: if it fails or asks a person.
    """

    __slots__ = ("kept", "_keeps_failures", "_held", "_sayings")

    def __init__(self, kept: bool, keeps_failures: bool = True) -> None:
        self.kept = kept
        # Not in the run of a caller that is left out elsewhere: only the caller could send all of it.
        self._keeps_failures = keeps_failures
        self._held = None if kept else EventQueue(_HELD_BYTES)
        self._sayings: Optional[Sayings] = None

    @property
    def sayings(self) -> Sayings:
        if self.kept:
            return client.sayings
        # What is left out does not count as said for other runs.
        if self._sayings is None:
            self._sayings = Sayings(client.sayings)
        return self._sayings

    def put(self, item: Item) -> None:
        if self.kept:
            client.put(item)
        elif self._held is not None:
            self._held.put(item)

    def keep(self) -> None:
        """Sends what was held back, and everything after it."""
        held, self._held = self._held, None
        sayings, self._sayings = self._sayings, None
        self.kept = True
        if sayings is not None:
            client.sayings.add(sayings)
        for item in held.take(len(held), _HELD_BYTES) if held is not None else ():
            client.put(item)

    def fail(self) -> None:
        """A run has failed. What is closed cannot be sent whole any more."""
        if self._held is not None and self._keeps_failures and client.settings.keep_failures:
            self.keep()

    def close(self) -> None:
        """The outermost run has ended: what is held back is left out."""
        self._held = self._sayings = None


# By run, so that what names a run by its id goes the way of the run.
_left_out: Dict[str, Gate] = {}


def leave_out(run: str, gate: Gate) -> None:
    """Remembers a run that is left out so far."""
    if len(_left_out) >= _MOST_LEFT_OUT:
        _left_out.pop(next(iter(_left_out)), None)
    _left_out[run] = gate


def gate_of(run: str) -> Optional[Gate]:
    """The decision about a run that was left out at its start, in this process."""
    return _left_out.get(run)


def is_sampled(share: float) -> bool:
    return share >= 1 or int.from_bytes(os.urandom(4), "big") < share * 2**32


class Scope:
    __slots__ = ("run", "session", "customer", "gate", "generation", "active", "aliased", "_seq", "__weakref__")

    def __init__(self, run: str, session: Optional[str], customer: Optional[str], gate: Gate) -> None:
        self.run = run
        self.session = session
        self.customer = customer
        self.gate = gate
        self.generation = client.generation
        # Something was sent since the last heartbeat.
        self.active = True
        # The steps whose span ids another program may know.
        self.aliased: Set[str] = set()
        self._seq = 0
        if not gate.kept:
            leave_out(run, gate)

    def put(self, head: str, payload: Payload, tail: str = "}") -> None:
        """Queues an event that happens now."""
        self.active = True
        self.gate.put(events.item(time.time_ns(), head, payload, tail))

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def keep(self) -> None:
        if not self.gate.kept:
            self.gate.keep()


# Masking comes first, then JSON: what is queued is masked.


def _masked(value: Any) -> Any:
    mask = client.settings.mask
    if mask is None or value is None:
        return value
    try:
        return mask(value)
    except Exception:
        client.masking_failures += 1
        return _MASKING_FAILED


def payload_value(value: Any) -> Optional[Value]:
    return as_value(_masked(value))


def payload_text(value: Any) -> Optional[str]:
    return as_text(_masked(value))


def payload_object(value: Optional[Dict[str, Any]]) -> Optional[Value]:
    if value is None or (type(value) is dict and not value):
        return None
    masked = _masked(value)
    return as_object({"masking": "failed"} if masked is _MASKING_FAILED else masked)


# Heartbeats of runs that have nothing to report.

_open: Dict[str, "weakref.ref[Scope]"] = {}
_beat = [time.monotonic(), _HEARTBEAT_S]


def opened(scope: Scope, timeout: Optional[float]) -> None:
    _open[scope.run] = weakref.ref(scope)
    if timeout is not None:
        _beat[1] = max(0.5, min(_beat[1], timeout / 3))


def closed(scope: Scope) -> None:
    _open.pop(scope.run, None)


def _send_heartbeats() -> float:
    """In the background thread. Returns in how many seconds to come again."""
    last, interval = _beat
    now = time.monotonic()
    if now - last < interval:
        return interval - (now - last)
    _beat[0] = now
    for run, reference in list(_open.items()):
        scope = reference()
        if scope is None or scope.generation != client.generation:
            _open.pop(run, None)
            continue
        if not scope.active and scope.gate.kept:
            client.queue.put(events.item(time.time_ns(), f'"heartbeat":{{"run_id":"{run}"', ()))
        scope.active = False
    return interval


client.before_wait(_send_heartbeats)
