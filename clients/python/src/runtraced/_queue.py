"""The queue between the agent and the background thread, bounded in bytes.

When it is full, it drops the payloads of its oldest events first, and then its oldest
events. The lock is reentrant because a destructor, which the garbage collector may run
anywhere, ends its step.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Deque, List

from ._events import PAYLOAD, SIZE, Item, drop_payload


class EventQueue:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        # Events that were put and are neither dropped nor released.
        self.outstanding = 0
        self.dropped_events = 0
        self.dropped_payloads = 0
        self._items: Deque[Item] = deque()
        # Those of `_items` that have a payload, in the same order.
        self._loaded: Deque[Item] = deque()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        with self._lock:
            self.outstanding += 1
            # A payload that leaves no room for others goes before theirs do.
            if item[SIZE] > self.limit // 2 and item[PAYLOAD] is not None:
                drop_payload(item)
                self.dropped_payloads += 1
            self.bytes += item[SIZE]
            self._items.append(item)
            if item[PAYLOAD] is not None:
                self._loaded.append(item)
            if self.bytes > self.limit:
                self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self.limit and self._loaded:
            self.bytes -= drop_payload(self._loaded.popleft())
            self.dropped_payloads += 1
        while self.bytes > self.limit and self._items:
            self.bytes -= self._items.popleft()[SIZE]
            self.outstanding -= 1
            self.dropped_events += 1

    def take(self, max_events: int, max_bytes: int) -> List[Item]:
        """Removes the oldest items. They count until `release`."""
        taken: List[Item] = []
        with self._lock:
            size = 0
            while self._items and len(taken) < max_events:
                size += self._items[0][SIZE]
                if taken and size > max_bytes:
                    break
                item = self._items.popleft()
                if self._loaded and self._loaded[0] is item:
                    self._loaded.popleft()
                taken.append(item)
        return taken

    def release(self, count: int, size: int) -> None:
        """Items that were taken are settled, or somewhere else."""
        with self._lock:
            self.outstanding -= count
            self.bytes -= size
