"""The settings of the client, from the environment and from `configure`."""

from __future__ import annotations

import logging
import os
from typing import Any, Callable, Optional

from ._checks import checked

DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
MIB = 1024 * 1024
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")

log = logging.getLogger("runtraced")

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
        self.endpoint = _from_environment("endpoint") or DEFAULT_ENDPOINT
        self.key = _from_environment("key")
        self.spool = _from_environment("spool")
        self.disabled = _is_disabled()
        self.customer = None
        self.mask = None
        self.sample = 1.0
        self.keep_failures = True
        self.max_queue_bytes = 16 * MIB
        self.max_spool_bytes = 256 * MIB
        self.exit_timeout = 5.0


def _is_disabled() -> bool:
    value = (os.environ.get("RUNTRACED_DISABLED") or "0").strip().lower()
    if value not in (*_YES, *_NO):
        log.warning("RUNTRACED_DISABLED is ignored: it must be 1 or 0, not %r", value)
    return value in _YES


def _from_environment(name: str) -> Optional[str]:
    """A setting of the environment. A wrong one must not stop the program that imports this."""
    variable = f"RUNTRACED_{name.upper()}"
    value = (os.environ.get(variable) or "").strip()
    if not value:
        return None
    try:
        return str(checked(name, value))
    except ValueError as error:
        log.warning("%s is ignored: %s", variable, error)
        return None
