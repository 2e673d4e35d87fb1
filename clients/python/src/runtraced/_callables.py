"""What kind of function something is that can be called, and how it names its arguments."""

from __future__ import annotations

import functools
from types import CodeType
from typing import Any, NamedTuple, Tuple

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Shape(NamedTuple):
    name: str
    #: `plain`, `coroutine`, `generator` or `async generator`: what a call returns.
    kind: str
    #: The names of the positional arguments.
    names: Tuple[str, ...]


def shape_of(given: Any) -> Shape:
    """Raises TypeError for what no step can be made of."""
    if isinstance(given, type):
        raise TypeError(
            f"traced cannot decorate a class: {given.__qualname__}. Decorate its methods, or a function that makes it"
        )
    if not callable(given):
        raise TypeError(f"traced decorates functions and methods, not a {type(given).__name__}")
    function, bound = given, 0
    while isinstance(function, functools.partial):
        bound += len(function.args)
        function = function.func
    name = str(getattr(function, "__name__", None) or type(function).__name__)
    if hasattr(function, "__func__"):  # a method of an object
        function = function.__func__
        bound += 1
    elif not hasattr(function, "__code__"):  # an object that can be called
        function = getattr(type(function), "__call__", None)
        bound += 1
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):  # it is not written in Python
        return Shape(name, "plain", ())
    return Shape(name, _kind(code.co_flags), code.co_varnames[bound : code.co_argcount])


def _kind(flags: int) -> str:
    if flags & _ASYNC_GENERATOR:
        return "async generator"
    if flags & _COROUTINE:
        return "coroutine"
    return "generator" if flags & _GENERATOR else "plain"
