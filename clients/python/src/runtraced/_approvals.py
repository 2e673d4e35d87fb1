"""Waits until a person has decided."""

from __future__ import annotations

import time
from threading import Event
from typing import Any, Optional

from ._client import client
from ._given import seconds
from ._transport import Transport

# How long one request waits at the daemon.
_ASK_S = 30.0
_PAUSE_S = (0.2, 5.0)
# How much later than asked an answer may come.
_GRACE_S = 2.0


class Decision:
    """What a person decided. It is true only if the action may go ahead."""

    def __init__(self, status: str, notes: Optional[str] = None) -> None:
        #: `approved`, `rejected`, `expired`; `pending` if nobody decided in time.
        self.status = status
        #: What the person wrote.
        self.notes = notes

    @property
    def approved(self) -> bool:
        return self.status == "approved"

    def __bool__(self) -> bool:
        return self.approved

    def __repr__(self) -> str:
        return f"Decision(status={self.status!r}, notes={self.notes!r})"


class Approval:
    """A question to a person."""

    def __init__(self, identifier: Optional[str]) -> None:
        #: The id of the approval. None outside a run: then nobody is asked, and nobody approves.
        self.id = identifier

    def wait(self, timeout: Optional[float] = None) -> Decision:
        """Waits for the decision, by default for as long as it takes.

        Never raises. While the daemon does not answer, nothing is approved.
        """
        return self._wait(timeout, None)

    def _wait(self, timeout: Optional[float], stop: Optional[Event]) -> Decision:
        limit = seconds("timeout of wait", timeout)
        if self.id is None or client.settings.disabled or (limit is None and timeout is not None):
            return Decision("pending")
        ends_at = None if limit is None else time.monotonic() + limit
        pause_s, longest = _PAUSE_S
        transport = Transport(client.settings)
        try:
            while stop is None or not stop.is_set():
                left = _ASK_S if ends_at is None else min(_ASK_S, ends_at - time.monotonic())
                if left <= 0:
                    return Decision("pending")
                decision = self._ask(transport, left)
                if decision is not None and decision.status != "pending":
                    return decision
                if decision is not None:
                    pause_s = _PAUSE_S[0]
                    continue
                if ends_at is not None:
                    pause_s = min(pause_s, max(0.0, ends_at - time.monotonic()))
                time.sleep(pause_s)
                pause_s = min(longest, 2 * max(pause_s, _PAUSE_S[0]))
            return Decision("pending")
        finally:
            transport.close()

    async def wait_async(self, timeout: Optional[float] = None) -> Decision:
        """The same, without holding up other tasks: in a thread of its own, which ends soon
        after the task is cancelled, and which a program does not wait for when it ends."""
        import asyncio
        import threading

        loop = asyncio.get_running_loop()
        decided: asyncio.Future[Decision] = loop.create_future()
        stop = threading.Event()

        def tell(decision: Decision) -> None:
            if not decided.done():
                decided.set_result(decision)

        def wait() -> None:
            decision = self._wait(timeout, stop)
            try:
                loop.call_soon_threadsafe(tell, decision)
            except RuntimeError:  # the loop is closed
                pass

        threading.Thread(target=wait, name="runtraced-approval", daemon=True).start()
        try:
            return await decided
        finally:
            stop.set()

    def _ask(self, transport: Transport, seconds: float) -> Optional[Decision]:
        """The decision so far, or None if the daemon could not say."""
        try:
            asked = f"/api/approvals/{self.id}?wait={max(1, int(seconds))}s"
            status, found = transport.get(asked, seconds + _GRACE_S)
            if status != 200:
                return None
            approval: Any = found["approval"]
            return Decision(str(approval["status"]), approval.get("notes"))
        except Exception:  # whatever the network raises, or an answer that is none
            return None
