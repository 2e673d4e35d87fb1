"""Runs and steps that a generator holds open while it is suspended.

A generator has no context of its own: what it opens stays in the context of its caller. It may
also go on in another context, such as another thread's. So these runs and steps are found by
the frame that holds them: it is on the stack while, and only while, the generator runs.

Nothing here costs anything while no generator holds a run or step.
"""

from __future__ import annotations

import sys
import threading
import weakref
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from ._nodes import Node

_GENERATORS = 0x20 | 0x200
# Coroutines that are written as generators. Nobody else runs while they wait.
_COROUTINE = 0x100
# These run a generator up to its `yield` in order to hold open what it opened.
_CONTEXT_MANAGERS = ("contextlib", "_pytest.fixtures")


class Hold(NamedTuple):
    frame: int
    code: CodeType
    # Where it was entered: copies of the context in other threads and tasks rightly know it.
    place: Tuple[int, int]
    node: "weakref.ref[Node]"


# By the id of the frame, which stays the same as long as the generator is not finished.
holds: Dict[int, List[Hold]] = {}


def hold(node: Node, opener: FrameType) -> Optional[Hold]:
    """Remembers that the generator of this frame opens the node, if it is one."""
    if not opener.f_code.co_flags & _GENERATORS and opener.f_globals.get("__name__") not in _CONTEXT_MANAGERS:
        return None  # the usual case, which must cost nothing
    frame: Optional[FrameType] = opener
    while frame is not None and _is_context_manager(frame):
        frame = frame.f_back
    if frame is None or not _is_generator(frame):
        return None
    made = Hold(id(frame), frame.f_code, _place(), weakref.ref(node))
    holds.setdefault(made.frame, []).append(made)
    return made


def release(held: Hold) -> None:
    others = [one for one in holds.get(held.frame, ()) if one is not held]
    if others:
        holds[held.frame] = others
    else:
        holds.pop(held.frame, None)


def innermost(node: Optional[Node]) -> Optional[Node]:
    """What is open here. `node` is what the context variable says."""
    running = _running()
    place = _place()
    last = node
    while node is not None:
        held = node._hold
        if node.ended:
            node = node.parent
        elif held is not None and held.place == place and held.frame not in running:
            last = node = node._before  # its generator is suspended, and this is its caller
        else:
            break
    nearest = next(iter(running.values()), None)
    if nearest is None:
        return last if node is None else node
    # What was opened below the generator since it went on is nearer than what it holds.
    above = node
    while above is not None and above is not nearest:
        above = above.parent
    return nearest if above is None else node


def _running() -> Dict[int, Node]:
    """What the generators on the stack hold open, the nearest first."""
    found: Dict[int, Node] = {}
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None:
        for held in reversed(holds.get(id(frame), ())):
            node = held.node()
            if held.code is frame.f_code and node is not None and not node.ended:
                found.setdefault(held.frame, node)
        frame = frame.f_back
    return found


def _is_generator(frame: FrameType) -> bool:
    flags = frame.f_code.co_flags
    return bool(flags & _GENERATORS) and not flags & _COROUTINE


def _is_context_manager(frame: FrameType) -> bool:
    """Whether the frame holds things open for whoever called it."""
    if frame.f_globals.get("__name__") in _CONTEXT_MANAGERS:
        return True
    above = frame.f_back
    while _is_generator(frame) and above is not None:
        if above.f_globals.get("__name__") in _CONTEXT_MANAGERS:
            return True
        frame, above = above, above.f_back  # it may delegate with `yield from`
    return False


def _place() -> Tuple[int, int]:
    """The thread and the task."""
    task: Any = None
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs here
            pass
    return threading.get_ident(), 0 if task is None else id(task)
