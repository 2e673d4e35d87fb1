"""A thread pool whose threads know which run and step are open where work is submitted."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Callable


class TracedExecutor(ThreadPoolExecutor):
    """Use it in the place of `ThreadPoolExecutor`. Steps in its threads belong to the caller's."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(copy_context().run, function, *args, **kwargs)
