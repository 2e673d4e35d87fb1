"""Records an HTTP response that the caller reads by itself, while the caller reads it."""

from __future__ import annotations

import json
import weakref
from typing import Any, AsyncIterator, Iterator, List, Optional

from .._client import client
from ._call import Call

# The output of a longer answer is not recorded.
_LONGEST_BODY = 16 * 1024 * 1024


def follow(response: Any, call: Call) -> None:
    """Ends the call when the response of the HTTP library is read or closed."""
    try:
        body = _Body(call, str(response.headers.get("content-type", "")))
        content = _content(response)
        if content is not None:
            body.feed(content)
            body.end(None)
        else:
            _replace(response, body)
    except Exception:
        client.fault()
        call.end(None)


def _content(response: Any) -> Optional[bytes]:
    try:
        content: bytes = response.content
        return content
    except Exception:  # it was not read yet
        return None


def _replace(response: Any, body: _Body) -> None:
    """Everything that reads a response reads its bytes; all but `iter_raw`, which has them compressed."""
    weakly = weakref.ref(response)  # or the response would hold itself
    kind = type(response)

    def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        return _read(kind.iter_bytes(weakly(), *args, **kwargs), body)

    def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        return _read_async(kind.aiter_bytes(weakly(), *args, **kwargs), body)

    def close() -> Any:
        body.end(None)
        return kind.close(weakly())

    def aclose() -> Any:
        body.end(None)
        return kind.aclose(weakly())

    response.iter_bytes, response.aiter_bytes = iter_bytes, aiter_bytes
    response.close, response.aclose = close, aclose


def _read(parts: Any, body: _Body) -> Iterator[bytes]:
    try:
        for part in parts:
            body.feed(part)
            yield part
    except BaseException as error:
        body.end(error)
        raise
    finally:
        body.end(None)
        parts.close()


async def _read_async(parts: Any, body: _Body) -> AsyncIterator[bytes]:
    try:
        async for part in parts:
            body.feed(part)
            yield part
    except BaseException as error:
        body.end(error)
        raise
    finally:
        body.end(None)
        await parts.aclose()


class _Body:
    def __init__(self, call: Call, kind: str) -> None:
        self._call: Optional[Call] = call
        self._is_stream = "text/event-stream" in kind
        self._parts: List[bytes] = []
        self._size = 0
        call.is_read_later()
        if self._is_stream:
            call.streams()

    def feed(self, part: bytes) -> None:
        if self._call is None:
            return
        try:
            self._size += len(part)
            self._parts.append(part)
            if self._is_stream:
                self._send_events(self._call)
            elif self._size > _LONGEST_BODY:
                self._parts.clear()
        except Exception:
            client.fault()

    def _send_events(self, call: Call) -> None:
        """Hands over the events that are complete."""
        *lines, rest = b"".join(self._parts).split(b"\n")
        self._parts = [rest] if len(rest) <= _LONGEST_BODY else []
        for line in lines:
            if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
                call.add(json.loads(line[5:]))

    def end(self, error: Optional[BaseException]) -> None:
        call, self._call = self._call, None
        if call is None:
            return
        answer: Any = None
        if not self._is_stream and 0 < self._size <= _LONGEST_BODY:
            try:
                answer = json.loads(b"".join(self._parts))
            except ValueError:  # it was not read to its end
                pass
        if error is None and answer is not None:
            call.finish(answer)
        else:
            call.end(error)
