"""The settings of the client, from the environment and from `configure`."""

from __future__ import annotations

import os
from typing import Any, Callable, Optional

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
MIB = 1024 * 1024

MaskFunction = Callable[[Any], Any]


class Settings:
    """What `configure` may change. The background thread reads it for each request."""

    endpoint: str
    key: Optional[str]
    spool: Optional[str]
    disabled: bool
    customer: Optional[str]
    mask: Optional[MaskFunction]
    sample: float
    keep_failures: bool
    max_queue_bytes: int
    max_spool_bytes: int
    exit_timeout: float

    def __init__(self) -> None:
        environment = os.environ.get
        self.endpoint = environment("RUNTRACED_ENDPOINT") or DEFAULT_ENDPOINT
        self.key = (environment("RUNTRACED_KEY") or "").strip() or None
        self.spool = environment("RUNTRACED_SPOOL") or None
        self.disabled = (environment("RUNTRACED_DISABLED") or "").strip().lower() in ("1", "true", "yes", "on")
        self.customer = None
        self.mask = None
        self.sample = 1.0
        self.keep_failures = True
        self.max_queue_bytes = 16 * MIB
        self.max_spool_bytes = 256 * MIB
        self.exit_timeout = 5.0
