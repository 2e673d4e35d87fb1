"""Ids: UUIDv7 for what is new, derived ones for what another program can name as well."""

from __future__ import annotations

import os
import time
from typing import Optional, Tuple


def new_id() -> str:
    """A UUIDv7: ids in the order of time keep the indexes of the database dense."""
    random = int.from_bytes(os.urandom(10), "big")
    millis = time.time_ns() // 1_000_000
    return "%08x-%04x-7%03x-%04x-%012x" % (
        millis >> 16,
        millis & 0xFFFF,
        random >> 68,
        random >> 48 & 0x3FFF | 0x8000,
        random & 0xFFFFFFFFFFFF,
    )


def parsed_id(text: object) -> Optional[str]:
    """A UUID in its usual form, or None if the text is none."""
    digits = str(text).replace("-", "").lower()
    if len(digits) != 32 or digits.strip("0123456789abcdef"):
        return None
    return _written(digits)


def _written(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def session_id(name: str, customer: Optional[str]) -> str:
    """The id of a session that has a name of its own, the same as over OTLP."""
    scope = b"customer\0" + _bytes_of(customer) if customer else b""
    digest = _sha256(scope + b"session\0" + name.encode("utf-8", "surrogatepass"))
    return _derived(digest[16:22], digest)


def alias_id(run: str, span: str) -> str:
    """The id by which a program that knows only a span id names a step."""
    run_bytes = _bytes_of(run)
    return _derived(run_bytes, _sha256(run_bytes + b"span\0" + bytes.fromhex(span)))


def message_id(scope: str, content: bytes, occurrence: int) -> str:
    """The id of a message that model calls repeat, within its session or run."""
    scope_bytes = _bytes_of(scope)
    count = occurrence.to_bytes(4, "big")
    return _derived(scope_bytes, _sha256(scope_bytes + b"message\0" + content + count))


def _bytes_of(identifier: str) -> bytes:
    return bytes.fromhex(identifier.replace("-", ""))


def _sha256(content: bytes) -> bytes:
    import hashlib  # most programs derive no id, and its import is slow

    return hashlib.sha256(content).digest()


def _derived(prefix: bytes, digest: bytes) -> str:
    content = bytearray(prefix[:6] + digest[6:16])
    content[6] = content[6] & 0x0F | 0x80
    content[8] = content[8] & 0x3F | 0x80
    return _written(content.hex())


def span_id(identifier: str) -> str:
    """The span id that stands for a step or run in a traceparent."""
    return identifier[19:23] + identifier[24:]


def traceparent(run: str, span: str, kept: bool) -> str:
    return f"00-{run.replace('-', '')}-{span}-0{int(kept)}"


def parsed_traceparent(text: object) -> Optional[Tuple[str, str, bool]]:
    """The run, the span and whether the caller records, of a W3C traceparent."""
    parts = str(text).strip().lower().split("-")
    if len(parts) < 4 or parts[0] == "ff" or (parts[0] == "00" and len(parts) != 4):
        return None
    version, trace, span, flags = parts[:4]
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    if (version + trace + span + flags).strip("0123456789abcdef"):
        return None
    if not trace.strip("0") or not span.strip("0"):
        return None
    return str(parsed_id(trace)), span, bool(int(flags, 16) & 1)
