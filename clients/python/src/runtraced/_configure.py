"""The settings that a program may change."""

from __future__ import annotations

from typing import Any, Callable, Optional

from ._checks import checked
from ._client import client, log


def configure(
    *,
    endpoint: Optional[str] = None,
    key: Optional[str] = None,
    spool: Optional[str] = None,
    disabled: Optional[bool] = None,
    customer: Optional[str] = None,
    mask: Optional[Callable[[Any], Any]] = None,
    sample: Optional[float] = None,
    keep_failures: Optional[bool] = None,
    max_queue_bytes: Optional[int] = None,
    max_spool_bytes: Optional[int] = None,
    exit_timeout: Optional[float] = None,
    flush_on_sigterm: bool = False,
) -> None:
    """Changes settings of this process. What is None stays as it is.

    Raises ValueError if a setting is wrong. Then none is changed.

    endpoint, key, spool, disabled: instead of the variables `RUNTRACED_ENDPOINT` and so on.
    customer: a UUID; sends on behalf of this customer.
    mask: gets each input, output, text and metadata before it is queued, and returns what
        to record instead. It must not change what it gets. If it raises, nothing is recorded.
    sample: the share of runs to record, from 0 to 1. Runs below a run go the same way.
    keep_failures: record failed runs whatever `sample` says. On by default.
    max_queue_bytes, max_spool_bytes: limits of memory (16 MiB) and disk (256 MiB).
    exit_timeout: seconds that the process may wait at exit (5).
    flush_on_sigterm: flush when the process gets SIGTERM, and then do what it did before.
        Python allows that only in the main thread. Elsewhere it warns and leaves it.
    """
    given = {
        "endpoint": endpoint,
        "key": key,
        "spool": spool,
        "disabled": disabled,
        "customer": customer,
        "mask": mask,
        "sample": sample,
        "keep_failures": keep_failures,
        "max_queue_bytes": max_queue_bytes,
        "max_spool_bytes": max_spool_bytes,
        "exit_timeout": exit_timeout,
    }
    good = {name: checked(name, value) for name, value in given.items() if value is not None}
    checked("flush_on_sigterm", flush_on_sigterm)
    for name, value in good.items():
        setattr(client.settings, name, value)
    client.queue.limit = client.settings.max_queue_bytes
    if flush_on_sigterm:
        _flush_on_sigterm()


def _flush_on_sigterm() -> None:
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: Any) -> None:
        client.flush(client.settings.exit_timeout)
        client.sender.rescue()
        if callable(before):
            before(number, frame)
        elif before != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    try:
        signal.signal(signal.SIGTERM, handle)
    except ValueError as error:  # this is not the main thread
        log.warning("flush_on_sigterm is not set: %s", error)
