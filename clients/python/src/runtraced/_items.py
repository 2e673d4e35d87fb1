"""What a generator has yielded, as the output of its step."""

from __future__ import annotations

from typing import Any, List

from ._values import as_value, restored

# So many items become the output.
_MOST_ITEMS = 1000


class Items:
    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._items: List[Any] = []
        self._more = 0

    def add(self, item: Any) -> None:
        if not self._wanted:
            return
        if len(self._items) >= _MOST_ITEMS and not isinstance(item, str):
            self._more += 1
            return
        # The agent may change the item later.
        self._items.append(as_value(item))

    def output(self, result: Any) -> Any:
        if not self._wanted or not (self._items or result is not None):
            return None
        items: Any = [restored(item) for item in self._items]
        if items and all(isinstance(item, str) for item in items):
            items = "".join(items)
        elif self._more:
            items.append(f"[{self._more} more]")
        if result is None:
            return items
        return {"items": items, "result": result} if items else result
