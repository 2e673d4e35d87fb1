"""Records what an agent does and sends it to runtraced, never in the agent's way.

    import runtraced

    with runtraced.run("renewal-assistant", input="hi") as run:
        with runtraced.step("look up", kind="tool", input={"q": 1}) as step:
            step.output = {"x": 1}
        runtraced.message("assistant", "done")
        runtraced.tokens(model="gpt-5", input=12, output=3)
        run.output = "done"

Nothing here raises because of the daemon, or waits for it, except `flush` and
`Approval.wait`. Outside a run, nothing is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, TypeVar, Union

from . import _context
from ._approvals import Approval, Decision
from ._client import Stats
from ._client import client as _client
from ._configure import configure
from ._given import seconds as _seconds
from ._nodes import Node, score_by_id
from ._runs import Run
from ._steps import Step
from ._traced import traced

if TYPE_CHECKING:
    from ._executor import TracedExecutor as TracedExecutor

__version__ = "0.1.0"
__all__ = [
    "Approval",
    "Decision",
    "Run",
    "Stats",
    "Step",
    "TracedExecutor",
    "approval",
    "configure",
    "current",
    "flush",
    "message",
    "run",
    "score",
    "stats",
    "step",
    "tokens",
    "traced",
    "traceparent",
    "wrap",
]

_Wrapped = TypeVar("_Wrapped")

#: Opens a run of an agent. Within a run, it is a sub-agent's.
run = Run


def step(
    name: str,
    *,
    kind: Optional[str] = None,
    input: Any = None,
    model: Optional[str] = None,
    metadata: Optional[Dict[str, Any]] = None,
) -> Step:
    """A step of the run that is open here. Kinds: `llm`, `tool`, `thinking`, `handoff`, or any other."""
    return Step(name, kind, input, model, metadata)


def current() -> Union[Run, Step, None]:
    """The innermost run or step that is open here."""
    found: Any = _context.innermost()
    return None if found is None or found.ended else found


def message(
    role: str,
    content: Optional[str] = None,
    *,
    thinking: Optional[str] = None,
    tool_calls: Any = None,
    metadata: Optional[Dict[str, Any]] = None,
) -> None:
    """Records a message in what is open here. Roles: `user`, `assistant`, `system`, `tool`."""
    node = _context.innermost()
    if node is not None:
        node.message(role, content, thinking=thinking, tool_calls=tool_calls, metadata=metadata)


def tokens(
    *,
    model: Optional[str] = None,
    input: Optional[int] = None,
    output: Optional[int] = None,
    cache_read: Optional[int] = None,
    cache_write: Optional[int] = None,
    reasoning: Optional[int] = None,
) -> None:
    """Counts tokens of what is open here. `input` includes cached tokens, `output` includes reasoning."""
    node = _context.innermost()
    if node is not None:
        node.tokens(
            model=model,
            input=input,
            output=output,
            cache_read=cache_read,
            cache_write=cache_write,
            reasoning=reasoning,
        )


def score(
    name: str,
    value: Optional[float] = None,
    *,
    label: Optional[str] = None,
    comment: Optional[str] = None,
    source: Optional[str] = None,
    metadata: Optional[Dict[str, Any]] = None,
    run: Union[Run, str, None] = None,
    step: Union[Step, str, None] = None,
) -> None:
    """Assesses what is open here; or a run or step that has ended, by its object or its ids."""
    node: Any = step if step is not None else run if run is not None else _context.innermost()
    if node is not None and not isinstance(node, Node):
        above = _context.innermost() if run is None else run
        score_by_id(above, step, name, value, label, comment, source, metadata)
    elif node is not None:
        node.score(name, value, label=label, comment=comment, source=source, metadata=metadata)


def approval(
    description: str, data: Any = None, *, action: Optional[str] = None, expires: Optional[float] = None
) -> Approval:
    """Asks a person: `approval("Send the mail?", data).wait(timeout)`. `expires` is in seconds."""
    node = _context.innermost()
    if node is None:
        return Approval(None)
    return node.approval(description, data, action=action, expires=expires)


def traceparent() -> Optional[str]:
    """The W3C header with which another agent goes on in this run. None outside a run."""
    node = _context.innermost()
    return None if node is None else node.traceparent()


def flush(timeout: float = 10.0) -> int:
    """Waits, at most so many seconds, until all events are settled. Returns how many are not."""
    limit = _seconds("timeout of flush", timeout)
    return _client.flush(10.0 if limit is None else limit)


def stats() -> Stats:
    """What became of the events of this process."""
    return _client.stats()


def wrap(client: _Wrapped) -> _Wrapped:
    """Makes the calls of a client of OpenAI's or Anthropic's SDK steps, and returns it."""
    from ._wrap import wrapped

    return wrapped(client)


def __getattr__(name: str) -> Any:
    if name == "TracedExecutor":  # its base class takes long to import
        from ._executor import TracedExecutor

        return TracedExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
