"""Which messages of model calls were said before, as far as this process knows.

Each call repeats the history, so a message is known by its content and by how many equal ones
come before it. An answer is new whatever it says. So is what begins a conversation in a run,
though an earlier run of its session began with the same words.
"""

from __future__ import annotations

import threading
from typing import Dict, NamedTuple, Optional

_MOST_SAYINGS = 20_000


class _Saying(NamedTuple):
    # How often it was said.
    times: int
    # The run that said it last, and how often it was said before that run.
    run: str
    before: int


class Sayings:
    def __init__(self, shared: Optional[Sayings] = None) -> None:
        self._said: Dict[str, _Saying] = {}
        self._shared = shared
        # Reentrant, because a destructor may end a call.
        self._lock = threading.RLock()

    def answered(self, key: str, run: str, occurrence: int) -> int:
        """Which of the equal messages an answer is. `occurrence`: within its call, from 1 up."""
        with self._lock:
            known = self._known(key)
            number = occurrence if known is None else max(occurrence, known.times + 1)
            before = known.before if known is not None and known.run == run else number - 1
            self._put(key, _Saying(number, run, before))
            return number

    def asked(self, key: str, run: str, occurrence: int, begins: bool) -> Optional[int]:
        """Which of the equal messages one in a request is. None if it was said before."""
        with self._lock:
            known = self._known(key)
            if known is None:
                known = _Saying(0, run, 0)
            elif begins and known.run != run:
                known = _Saying(known.times, run, known.times)
            number = occurrence + (known.before if begins else 0)
            if number <= known.times:
                return None
            self._put(key, known._replace(times=number))
            return number

    def add(self, others: Sayings) -> None:
        """What a run has said that is recorded after all."""
        with self._lock:
            for key, saying in others._said.items():
                self._put(key, saying)

    def _known(self, key: str) -> Optional[_Saying]:
        known = self._said.get(key)
        if known is None and self._shared is not None:
            known = self._shared._said.get(key)
        return known

    def _put(self, key: str, saying: _Saying) -> None:
        self._said.pop(key, None)
        if len(self._said) >= _MOST_SAYINGS:
            del self._said[next(iter(self._said))]  # the one that was said longest ago
        self._said[key] = saying
