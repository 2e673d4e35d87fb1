"""What a program hands over in a wrong type: it is kept as far as it goes, and told once.

Nothing here raises. Values that are recorded as JSON are in `_values`.
"""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Set

log = logging.getLogger("runtraced")

# What the daemon takes, see NUMBER_OUT_OF_RANGE in PROTOCOL.md.
_MOST_COUNT = 2**31 - 1
_TIMEOUT_S = (0.001, 100 * 365 * 86400.0)

_told: Set[str] = set()


def odd(what: str, value: Any, accepted: str) -> None:
    """Warns, once for each argument. The value itself may be a secret."""
    if what not in _told:
        _told.add(what)
        log.warning("%s is %s, not %s. It is recorded as far as possible", what, accepted, type(value).__name__)


def text(what: str, value: Any) -> Optional[str]:
    if value is None or type(value) is str:
        return value
    try:
        return str(value)
    except Exception:
        odd(what, value, "a text")
        return None


def number(what: str, value: Any) -> Optional[float]:
    if value is None:
        return None
    try:
        found: float = int(value) if isinstance(value, int) else float(value)
        return found
    except Exception:
        odd(what, value, "a number")
        return None


def count(what: str, value: Any) -> Optional[int]:
    found = None
    try:
        found = None if value is None else int(value)
    except Exception:
        odd(what, value, "a whole number")
    if found is not None and not 0 <= found <= _MOST_COUNT:
        odd(what, value, f"a number from 0 to {_MOST_COUNT}")
        return None
    return found


def seconds(what: str, value: Any) -> Optional[float]:
    """A number that a clock can hold."""
    found = number(what, value)
    if found is not None and found != found:
        odd(what, value, "a number of seconds")
        return None
    return None if found is None else max(-_TIMEOUT_S[1], min(found, _TIMEOUT_S[1]))


def timeout(value: Any) -> Optional[float]:
    """The timeout of a run."""
    found = number("timeout", value)
    least, most = _TIMEOUT_S
    if found is not None and not least <= found <= most:
        odd("timeout", value, "a number of seconds from 0.001 to 100 years")
        return None
    return found


def facts(value: Any) -> Dict[str, Any]:
    """A copy of metadata."""
    if value is None:
        return {}
    try:
        if isinstance(value, dict) or hasattr(value, "keys"):
            return dict(value)
    except Exception:
        pass
    odd("metadata", value, "a dict")
    return {"value": value}


def texts(what: str, value: Any) -> List[str]:
    if isinstance(value, str):
        odd(what, value, "a list of texts")
        return [value]
    try:
        return [one for one in (text(what, item) for item in value or ()) if one is not None]
    except Exception:
        odd(what, value, "a list of texts")
        found = text(what, value)
        return [] if found is None else [found]
