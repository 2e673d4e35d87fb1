"""Which run or step is open here.

A context variable holds it, so each task and each thread has its own. Values are set and put
back as values, never by tokens: a token may be used only in the context that made it, and a
generator may end in another one. What generators hold open is in `_held`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Optional

from . import _held

if TYPE_CHECKING:
    from ._nodes import Node

_current: ContextVar[Optional[Node]] = ContextVar("runtraced", default=None)

read = _current.get
write = _current.set


def innermost() -> Optional[Node]:
    """The innermost run or step that has not ended. If all have ended, the last one."""
    last = node = _current.get()
    if _held.holds:
        return _held.innermost(node)
    while node is not None and node.ended:
        node = node.parent
    return last if node is None else node
