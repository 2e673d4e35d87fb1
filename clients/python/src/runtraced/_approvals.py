"""Waits until a person has decided."""

from __future__ import annotations

import time
from typing import Any, Optional

from ._client import client
from ._transport import Transport

# How long one request waits at the daemon.
_ASK_S = 30.0
_PAUSE_S = (0.2, 5.0)


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
        if self.id is None or client.settings.disabled:
            return Decision("pending")
        ends_at = None if timeout is None else time.monotonic() + timeout
        pause_s, longest = _PAUSE_S
        transport = Transport(client.settings)
        try:
            while True:
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
        finally:
            transport.close()

    async def wait_async(self, timeout: Optional[float] = None) -> Decision:
        """The same, without holding up other tasks."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self.wait, timeout)

    def _ask(self, transport: Transport, seconds: float) -> Optional[Decision]:
        """The decision so far, or None if the daemon could not say."""
        try:
            status, found = transport.get(f"/api/approvals/{self.id}?wait={max(1, int(seconds))}s")
            if status != 200:
                return None
            approval: Any = found["approval"]
            return Decision(str(approval["status"]), approval.get("notes"))
        except Exception:  # whatever the network raises, or an answer that is none
            return None
