"""Replaces `post` of one client, and hands streams through unchanged."""

from __future__ import annotations

import weakref
from typing import Any, AsyncIterator, Dict, Iterator, Optional

from ._anthropic import Messages
from ._bodies import follow
from ._call import Call, begin
from ._dialect import Dialect, get
from ._openai_chat import ChatCompletions
from ._openai_responses import Embeddings, Responses

_DIALECTS: Dict[str, Dialect] = {
    "/chat/completions": ChatCompletions(),
    "/responses": Responses(),
    "/embeddings": Embeddings(),
    "/v1/messages": Messages(),
}
_RAW = "x-stainless-raw-response"
# With these, servers refuse a field that they do not know.
_REFUSALS = (400, 422, 501)


def record_calls(client: Any) -> None:
    if getattr(client, "_runtraced", False):
        return
    client._runtraced = True
    post = client.post
    is_async = any(base.__name__.startswith("Async") for base in type(client).__mro__)
    client.post = _async_post(client, post) if is_async else _sync_post(client, post)
    # Parts of the client that exist already hold the old method.
    _replace(client, client, post, set())
    for name in ("copy", "with_options"):
        make = getattr(client, name, None)
        if callable(make):
            setattr(client, name, _recording_copy(make))


def _replace(client: Any, part: Any, post: Any, seen: set[int]) -> None:
    if id(part) in seen:
        return
    seen.add(id(part))
    replacement = client.post
    for value in list(getattr(part, "__dict__", {}).values()):
        if getattr(value, "_client", None) is client and hasattr(value, "_post"):
            value._post = replacement
            _replace(client, value, post, seen)


def _recording_copy(make: Any) -> Any:
    def copied(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        record_calls(made)
        return made

    return copied


class _Request:
    """The arguments of one `post`."""

    def __init__(self, client: Any, path: str, kwargs: Dict[str, Any]) -> None:
        self._client = client
        self.kwargs = kwargs
        self.asked_for_usage = False
        dialect = _DIALECTS.get(path.partition("?")[0])
        self.call: Optional[Call] = None if dialect is None else begin(dialect, kwargs.get("body"))
        if self.call is not None and isinstance(dialect, ChatCompletions) and kwargs.get("stream") and not self.is_raw():
            self._ask_for_usage()

    def _ask_for_usage(self) -> None:
        """A stream tells its tokens only if it is asked to."""
        body = self.kwargs["body"]
        if get(body, "stream_options") is None and not getattr(self._client, "_runtraced_no_usage", False):
            self.kwargs = {**self.kwargs, "body": {**body, "stream_options": {"include_usage": True}}}
            self.asked_for_usage = True

    def may_be_refused(self, error: BaseException) -> bool:
        """The server may not know what we added to the request: then it gets the agent's own."""
        if not self.asked_for_usage or getattr(error, "status_code", None) not in _REFUSALS:
            return False
        named = getattr(error, "param", None)
        if named and not str(named).startswith("stream_options"):
            return False
        self.asked_for_usage = False
        self.kwargs["body"].pop("stream_options")
        return True

    def was_refused(self) -> None:
        """The server took the agent's own request: it gets no other from now on."""
        self._client._runtraced_no_usage = True

    def is_raw(self) -> bool:
        """Whether the caller wants the HTTP response itself."""
        headers = get(self.kwargs.get("options"), "headers")
        return isinstance(headers, dict) and any(str(name).lower() == _RAW for name in headers)

    def returned(self, result: Any) -> Any:
        """Records a result. What the caller reads by itself is recorded while it is read."""
        call = self.call
        assert call is not None
        response = getattr(result, "http_response", result)
        if self.kwargs.get("stream") and not self.is_raw() and hasattr(result, "_iterator"):
            call.streams()
            iterator = result._iterator
            make = _async_parts if hasattr(iterator, "__anext__") else _parts
            result._iterator = make(iterator, call, self.asked_for_usage)
            _end_at_close(result, call)
        elif hasattr(response, "iter_bytes") and hasattr(response, "headers"):
            follow(response, call)
        elif not self.kwargs.get("stream"):
            call.finish(result)
        else:
            call.end(None)
        return result


def _end_at_close(stream: Any, call: Call) -> None:
    """A caller may close the stream before its end, and keep it."""
    weakly = weakref.ref(stream)  # or the stream would hold itself

    def close() -> Any:
        call.end(None)
        found = weakly()
        return None if found is None else type(found).close(found)

    stream.close = close


def _sync_post(client: Any, post: Any) -> Any:
    def recorded(path: str, **kwargs: Any) -> Any:
        request = _Request(client, path, kwargs)
        if request.call is None:
            return post(path, **kwargs)
        try:
            try:
                result = post(path, **request.kwargs)
            except Exception as error:
                if not request.may_be_refused(error):
                    raise
                result = post(path, **request.kwargs)
                request.was_refused()
        except BaseException as error:
            request.call.end(error)
            raise
        return request.returned(result)

    return recorded


def _async_post(client: Any, post: Any) -> Any:
    async def recorded(path: str, **kwargs: Any) -> Any:
        request = _Request(client, path, kwargs)
        if request.call is None:
            return await post(path, **kwargs)
        try:
            try:
                result = await post(path, **request.kwargs)
            except Exception as error:
                if not request.may_be_refused(error):
                    raise
                result = await post(path, **request.kwargs)
                request.was_refused()
        except BaseException as error:
            request.call.end(error)
            raise
        return request.returned(result)

    return recorded


def _is_ours(part: Any, asked_for_usage: bool) -> bool:
    """The chunk with the usage, which the caller did not ask for."""
    return asked_for_usage and not get(part, "choices") and get(part, "usage") is not None


def _parts(iterator: Iterator[Any], call: Call, asked_for_usage: bool) -> Iterator[Any]:
    try:
        for part in iterator:
            call.add(part)
            if not _is_ours(part, asked_for_usage):
                yield part
    except BaseException as error:
        call.end(error)
        raise
    finally:
        call.end(None)
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


async def _async_parts(iterator: AsyncIterator[Any], call: Call, asked_for_usage: bool) -> AsyncIterator[Any]:
    try:
        async for part in iterator:
            call.add(part)
            if not _is_ours(part, asked_for_usage):
                yield part
    except BaseException as error:
        call.end(error)
        raise
    finally:
        call.end(None)
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
