"""The one client of a process: its settings, queue and background thread.

It survives a fork: the child starts with an empty queue, because the parent sends what was
queued before, and with a thread of its own. At exit it waits for a bounded time.
"""

from __future__ import annotations

import atexit

# At once, not in the background: it has hooks for forks, which must not appear amid one.
import logging
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from ._events import Item
from ._queue import EventQueue
from ._sayings import Sayings
from ._sender import Sender
from ._settings import Settings
from ._transport import IMPORTS

log = logging.getLogger("runtraced")

_POLL_S = (0.001, 0.02)
# At exit, a daemon that did not answer before gets this much time.
_EXIT_AWAY_S = 1.0


class Stats(NamedTuple):
    """What became of the events of this process."""

    #: Waiting in memory, or being sent.
    waiting: int
    #: In files of the spool. They are sent later, by this process or another.
    spooled: int
    #: Stored by the daemon.
    settled: int
    #: Refused by the daemon, each for a reason of its own.
    refused: int
    #: Dropped because the queue was full.
    dropped_events: int
    #: Sent without inputs, outputs and texts because the queue was full.
    dropped_payloads: int
    #: Values that were replaced because the masking function failed.
    masking_failures: int
    #: Things that were not recorded because of a fault of this library. The first one is logged.
    faults: int


class Client:
    def __init__(self) -> None:
        self.settings = Settings()
        self.masking_failures = 0
        self.faults = 0
        # Increases with each fork: what began before it belongs to the parent.
        self.generation = 0
        self._before_wait: Callable[[], float] = lambda: 3600.0
        self._exit_ends_at: Optional[float] = None
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=IMPORTS.acquire, after_in_parent=IMPORTS.release, after_in_child=self._after_fork
            )
        atexit.register(self._exit)

    def reset(self) -> None:
        """An empty queue, and no thread yet."""
        self.queue = EventQueue(self.settings.max_queue_bytes)
        self.sender = Sender(self.settings, self.queue, self._tell)
        self.sender.before_wait = self._before_wait
        self._thread: Optional[threading.Thread] = None
        self._start_lock = threading.RLock()
        self._threadless = False
        #: What each session was last told to be, see Scope.
        self.known_sessions: Dict[str, Any] = {}
        #: What model calls have said, which need not be sent again.
        self.sayings = Sayings()
        #: The ids that were derived from messages, see Call.
        self.message_ids: Dict[Tuple[str, int, int], str] = {}

    def before_wait(self, action: Callable[[], float]) -> None:
        """Has the thread call this before each wait, which is then at most as long."""
        self._before_wait = self.sender.before_wait = action

    def fault(self) -> None:
        """An exception of this library. The agent must not see it."""
        self.faults += 1
        if self.faults == 1:
            log.warning("recording failed", exc_info=True)

    def _after_fork(self) -> None:
        IMPORTS.release()
        self.generation += 1
        self._exit_ends_at = None
        self.reset()

    def put(self, item: Item) -> None:
        """Queues an event. Never raises, never waits."""
        self.queue.put(item)
        if self._thread is None:
            self._start()
        elif self.sender.waits:
            self.sender.wake()
        if self._exit_ends_at is not None and threading.current_thread() is not self._thread:
            # Handlers that were registered before ours run after it.
            self._wait(max(0.0, self._exit_ends_at - time.monotonic()))
            self._say_what_is_lost()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is not None or self._threadless:
                return
            thread = threading.Thread(target=self.sender.run, name="runtraced", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # the interpreter shuts down: flush sends by itself
                self._thread = None
                self._threadless = True
            self._exit_with_worker()

    def _exit_with_worker(self) -> None:
        """Processes of multiprocessing do not run what `atexit` knows."""
        for library in ("multiprocessing", "billiard"):
            processes = sys.modules.get(f"{library}.process")
            util = sys.modules.get(f"{library}.util")
            if processes is None or util is None:
                continue
            current = processes.current_process()
            if getattr(current, "_parent_pid", None) is not None and current.name != "MainProcess":
                util.Finalize(None, self._exit, exitpriority=1)

    def flush(self, timeout: float) -> int:
        """Waits until everything is settled or spooled. Returns how many events are not settled."""
        try:
            return self._wait(timeout)
        except Exception:
            return self.unsettled()

    def unsettled(self) -> int:
        return self.queue.outstanding + sum(list(self.sender.spooled.values()))

    def _wait(self, timeout: float) -> int:
        ends_at = time.monotonic() + timeout
        pause_s, longest = _POLL_S
        self.sender.hurry = True
        try:
            while self.queue.outstanding and time.monotonic() < ends_at:
                if self._threadless:
                    self.sender.step()
                    continue
                self.sender.wake()
                time.sleep(pause_s)
                pause_s = min(longest, 2 * pause_s)
        finally:
            self.sender.hurry = False
        return self.unsettled()

    def stats(self) -> Stats:
        return Stats(
            waiting=self.queue.outstanding,
            spooled=sum(list(self.sender.spooled.values())),
            settled=self.sender.settled,
            refused=self.sender.refused,
            dropped_events=self.queue.dropped_events,
            dropped_payloads=self.queue.dropped_payloads,
            masking_failures=self.masking_failures,
            faults=self.faults,
        )

    def _exit(self) -> None:
        """The bounded flush at exit. Says on stderr what is lost."""
        if self._exit_ends_at is not None:
            return
        limit = self.settings.exit_timeout
        if self.sender.away:
            limit = min(limit, _EXIT_AWAY_S)
        self._exit_ends_at = time.monotonic() + limit
        try:
            self._wait(limit)
            self._say_what_is_lost()
        except Exception:
            pass

    def _say_what_is_lost(self) -> None:
        self.sender.rescue()
        lost = self.queue.outstanding
        if lost > 0:
            why = self.sender.away or f"{self.settings.endpoint} is too slow"
            print(f"runtraced: {lost} events are lost: {why}", file=sys.stderr)

    def _tell(self, text: str) -> None:
        """A warning, from the background thread."""
        log.warning("%s", text)


client = Client()
