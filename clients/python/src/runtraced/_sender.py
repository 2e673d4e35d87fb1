"""The background thread: takes events from the queue and sends them until they are settled."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional

from ._events import SIZE, line
from ._queue import EventQueue
from ._settings import MIB, Settings
from ._spool import DiskSpool
from ._transport import LATER, SETTLED, SMALLER, WRONG, Answer, Transport, import_network

_BATCH_EVENTS = 4000
_BATCH_BYTES = MIB
# So many events at a time become JSON before other threads have their turn.
_SLICE = 32
# Events that happen within this time share a request.
# How often to look for what other processes have left in the spool.
_LOOK_EVERY_S = 30.0
_LINGER_S = 0.01
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LONGEST_DENIED_PAUSE_S = 30.0
_TELL_EVERY_S = 30.0


class _Batch(NamedTuple):
    lines: List[bytes]
    # Bytes that the queue counts for it.
    size: int


class Sender:
    """Sends what is in the queue. All its methods but `wake` run in one thread."""

    def __init__(self, settings: Settings, queue: EventQueue, tell: Callable[[str], None]) -> None:
        self.settled = 0
        self.refused = 0
        # Events of this process in the spool, by file.
        self.spooled: Dict[str, int] = {}
        # Held while events are in neither the queue nor `current`.
        self._building = threading.Lock()
        # What is being sent.
        self.current: Optional[_Batch] = None
        # The thread waits for `wake`.
        self.waits = False
        # Why the daemon could not take the last batch. Empty: it could.
        self.away = ""
        # Somebody waits until everything is sent.
        self.hurry = False
        self.stopping = False
        # Called before each wait. Returns how long the wait may be.
        self.before_wait: Callable[[], float] = lambda: 3600.0
        self._settings = settings
        self._queue = queue
        self._transport = Transport(settings)
        self._tell = tell
        self._told_at = -_TELL_EVERY_S
        self._told_drops = 0
        self._pause_s = _FIRST_PAUSE_S
        # Other processes may have left files: when to look for them, and when the daemon takes some.
        self._look_for_files_at = 0.0
        self._files_wait_until = 0.0
        # Held unless somebody wakes the thread. A bare lock, because a destructor may wake.
        self._bell = threading.Lock()
        self._bell.acquire()

    def wake(self) -> None:
        self.waits = False
        try:
            self._bell.release()
        except RuntimeError:  # it is awake
            pass

    def run(self) -> None:
        """Sends for as long as the process lives."""
        import_network()
        while not self.stopping:
            try:
                self.step()
            except Exception as error:  # a full disk, a folder that cannot be read
                self._warn(f"sending failed: {type(error).__name__}: {error}")
                self._sleep(_LONGEST_PAUSE_S)
        self._transport.close()

    def step(self) -> None:
        """Sends one batch, or waits for one."""
        pause_s = self.before_wait()
        now = time.monotonic()
        if self._settings.spool and (self.spooled or now >= self._look_for_files_at):
            if now >= self._files_wait_until:
                self._send_files()
            pause_s = min(pause_s, max(self._pause_s, self._files_wait_until - now))
        if self._settings.spool:
            pause_s = min(pause_s, _LOOK_EVERY_S)
        if self.current is None and not len(self._queue):
            self.waits = True
            if not len(self._queue):  # somebody may have been faster
                self._bell.acquire(timeout=pause_s)
            self.waits = False
            return
        if not self.hurry and len(self._queue) < _SLICE:
            time.sleep(_LINGER_S)
        if self.current is None:
            with self._building:
                self.current = self._next_batch()
        self.send(self.current)
        self.current = None

    def _next_batch(self) -> _Batch:
        lines: List[bytes] = []
        size = 0
        # What is being sent cannot be dropped, so it must leave room for what comes.
        longest = min(_BATCH_BYTES, self._queue.limit // 8)
        while len(lines) < _BATCH_EVENTS and size < longest:
            items = self._queue.take(_SLICE, longest - size)
            if not items:
                break
            for item in items:
                try:
                    lines.append(line(item))
                    size += item[SIZE]
                except Exception:  # a value that breaks what reads it
                    self.refused += 1
                    self._queue.release(1, item[SIZE])
            time.sleep(0)
        return _Batch(lines, size)

    def send(self, batch: _Batch) -> None:
        """Sends a batch until it is settled or in the spool."""
        if not batch.lines:
            return
        if self.away and self._to_spool(batch):
            self._sleep(self._pause_s, may_hurry=True)
            return
        while not self.stopping:
            answer = self._transport.post(batch.lines)
            if answer.verdict == SETTLED:
                self._settle(batch, answer)
                return
            if answer.verdict in (SMALLER, WRONG):
                self._split(batch, answer)
                return
            self._stay_away(answer)
            if self._to_spool(batch):
                return
            self._sleep(self._next_pause(answer), may_hurry=answer.retry_after is None)

    def _settle(self, batch: _Batch, answer: Answer) -> None:
        self._count(len(batch.lines), answer)
        self._release(batch)

    def _count(self, events: int, answer: Answer) -> None:
        self._here_again()
        self.refused += len(answer.refused)
        self.settled += events - len(answer.refused)
        for refusal in answer.refused[:3]:
            self._warn(f"the daemon refused an event: {refusal.get('code')}: {refusal.get('reason')}")

    def _release(self, batch: _Batch) -> None:
        self._queue.release(len(batch.lines), batch.size)

    def _split(self, batch: _Batch, answer: Answer) -> None:
        middle = len(batch.lines) // 2
        if middle == 0:
            self._settle(batch, Answer(SETTLED, refused=({"code": "NOT_SENT", "reason": answer.why},)))
            return
        self.send(_Batch(batch.lines[:middle], 0))
        self.send(_Batch(batch.lines[middle:], batch.size))

    # The daemon is away.

    def _stay_away(self, answer: Answer) -> None:
        self.away = answer.why
        if self._pause_s > _FIRST_PAUSE_S:
            self._warn(f"events wait: {answer.why}")

    def _here_again(self) -> None:
        self.away = ""
        self._pause_s = _FIRST_PAUSE_S
        drops = self._queue.dropped_events + self._queue.dropped_payloads
        if drops > self._told_drops:
            self._told_drops = drops
            self._warn(
                f"the queue was full: {self._queue.dropped_events} events were dropped,"
                f" and the payloads of {self._queue.dropped_payloads}"
            )

    def _next_pause(self, answer: Answer) -> float:
        longest = _LONGEST_PAUSE_S if answer.verdict == LATER else _LONGEST_DENIED_PAUSE_S
        pause_s = self._pause_s * (0.5 + int.from_bytes(os.urandom(1), "big") / 510)
        self._pause_s = min(2 * self._pause_s, longest)
        return pause_s if answer.retry_after is None else max(answer.retry_after, pause_s)

    def _sleep(self, seconds: float, may_hurry: bool = False) -> None:
        """Waits. A flush that begins meanwhile ends the wait, unless the daemon asked for it."""
        ends_at = time.monotonic() + seconds
        hurried = self.hurry
        while not self.stopping and time.monotonic() < ends_at:
            if may_hurry and self.hurry and not hurried:
                return
            self._bell.acquire(timeout=max(0.0, min(0.05, ends_at - time.monotonic())))

    def _warn(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self._tell(text)

    # The spool.

    def _spool(self) -> Optional[DiskSpool]:
        folder = self._settings.spool
        return DiskSpool(folder, self._settings.max_spool_bytes) if folder else None

    def _to_spool(self, batch: _Batch) -> bool:
        spool = self._spool()
        if spool is None or not batch.lines:
            return False
        try:
            path = spool.write(batch.lines)
        except OSError as error:
            self._warn(f"the spool {self._settings.spool} cannot be written: {error}")
            return False
        if path is None:
            self._warn(f"the spool {self._settings.spool} is full")
            return False
        self.spooled[path] = len(batch.lines)
        self._release(batch)
        return True

    def rescue(self) -> None:
        """Before the process exits: writes to the spool what could not be sent."""
        if not self._settings.spool or not self._building.acquire(timeout=1):
            return
        try:
            self._rescue()
        finally:
            self._building.release()

    def _rescue(self) -> None:
        if self.current is not None:
            self._to_spool(self.current)
        while len(self._queue):
            if not self._to_spool(self._next_batch()):
                return

    def _send_lines(self, lines: List[bytes]) -> Answer:
        """Sends the lines of a file, in halves if that is too much at once."""
        answer = self._transport.post(lines)
        if answer.verdict == SETTLED:
            self._count(len(lines), answer)
        if answer.verdict not in (SMALLER, WRONG):
            return answer
        if len(lines) == 1:
            refused = Answer(SETTLED, refused=({"code": "NOT_SENT", "reason": answer.why},))
            self._count(1, refused)
            return refused
        middle = len(lines) // 2
        first = self._send_lines(lines[:middle])
        return first if first.verdict != SETTLED else self._send_lines(lines[middle:])

    def _send_files(self) -> None:
        """Sends the files of the spool, until the daemon cannot take one."""
        spool = self._spool()
        assert spool is not None
        waiting = spool.files()
        for gone in set(self.spooled).difference(waiting):  # another process has sent it
            self.settled += self.spooled.pop(gone)
        for path in waiting:
            claim = spool.claim(path)
            if claim is None:
                continue
            lines = claim.lines()
            answer = self._send_lines(lines)
            if answer.verdict != SETTLED:
                claim.leave()
                self._stay_away(answer)
                self._files_wait_until = time.monotonic() + self._next_pause(answer)
                return
            claim.done()
            self.spooled.pop(path, None)
        self._look_for_files_at = time.monotonic() + _LOOK_EVERY_S
