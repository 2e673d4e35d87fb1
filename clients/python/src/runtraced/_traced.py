"""The decorator that makes the calls of a function steps."""

from __future__ import annotations

import functools
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, AsyncGenerator, Callable, Dict, Generator, Optional, Tuple, TypeVar, overload

from . import _context as context
from ._callables import shape_of
from ._items import Items
from ._steps import Step

Function = TypeVar("Function", bound=Callable[..., Any])

# What does its work after the function has returned it.
_LATER = (CoroutineType, GeneratorType, AsyncGeneratorType)
_ITERABLE_COROUTINE = 0x100


@overload
def traced(function: Function) -> Function: ...
@overload
def traced(
    function: Optional[str] = None,
    *,
    name: Optional[str] = None,
    kind: Optional[str] = None,
    input: bool = True,
    output: bool = True,
) -> Callable[[Function], Function]: ...
def traced(
    function: Any = None,
    *,
    name: Optional[str] = None,
    kind: Optional[str] = None,
    input: bool = True,
    output: bool = True,
) -> Any:
    """Makes each call of a function a step, if it happens within a run.

    For functions, coroutines, generators and async generators, and for whatever returns one,
    such as `functools.partial`. The arguments are the input and the result is the output,
    unless `input` or `output` is False. Raises TypeError for a class.
    """
    title = function if isinstance(function, str) else name

    def decorate(decorated: Any) -> Any:
        if isinstance(decorated, (staticmethod, classmethod)):
            return type(decorated)(decorate(decorated.__func__))
        return _Traced(decorated, title, kind, input, output).wrapper()

    return decorate if function is None or isinstance(function, str) else decorate(function)


class _Traced:
    def __init__(self, function: Any, name: Optional[str], kind: Optional[str], input: bool, output: bool) -> None:
        shape = shape_of(function)
        self._function = function
        self._name = name or shape.name
        self._kind = kind
        self._takes_input = input
        self._takes_output = output
        self._returns = shape.kind
        self._parameters = shape.names

    def wrapper(self) -> Any:
        if self._returns == "async generator":
            made: Any = self._async_generator(self._started)
        elif self._returns == "coroutine":
            made = self._coroutine()
        elif self._returns == "generator":
            made = self._generator(self._started)
        else:
            made = self._plain()
        return functools.wraps(self._function)(made)

    def _step(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Step:
        step = Step(self._name, self._kind)
        if self._takes_input and context.innermost() is not None:
            step.input = self._arguments(args, kwargs)
        return step

    def _arguments(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        names = self._parameters
        found = dict(zip(names, args))
        if names and names[0] in ("self", "cls"):
            found.pop(names[0], None)
        if len(args) > len(names):
            found["args"] = args[len(names) :]
        found.update(kwargs)
        return found or None

    def _plain(self) -> Callable[..., Any]:
        function = self._function

        def call(*args: Any, **kwargs: Any) -> Any:
            step = self._step(args, kwargs)
            step.__enter__()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                step.__exit__(None, error, None)
                raise
            if (type(result) in _LATER or _is_future(result)) and step._scope is not None:
                step._leave()
                return self._later(step, result)
            if self._takes_output:
                step.output = result
            step.__exit__(None, None, None)
            return result

        return call

    def _later(self, step: Step, result: Any) -> Any:
        """What a function has returned that does its work later, as its step."""
        if type(result) is AsyncGeneratorType:
            return self._async_generator(lambda: (step, result))()
        # Coroutines may be written as generators.
        if type(result) is GeneratorType and not result.gi_code.co_flags & _ITERABLE_COROUTINE:
            return self._generator(lambda: (step, result))()
        if type(result) in _LATER:
            return self._awaited(step, result)
        result.add_done_callback(lambda done: self._done(step, done))
        return result

    def _done(self, step: Step, future: Any) -> None:
        """Ends the step of a future. To ask it for its error would say that the agent has seen the error."""
        if future.cancelled():
            step.error = "cancelled"
        elif getattr(future, "_exception", None) is not None:
            return step.end(future._exception)
        elif self._takes_output:
            step.output = future.result()
        step.end()

    async def _awaited(self, step: Step, result: Any) -> Any:
        with step:
            found = await result
            if self._takes_output:
                step.output = found
        return found

    def _coroutine(self) -> Callable[..., Any]:
        function = self._function

        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._step(args, kwargs) as step:
                result = await function(*args, **kwargs)
                if self._takes_output:
                    step.output = result
            return result

        return call

    def _started(self, *args: Any, **kwargs: Any) -> Tuple[Step, Any]:
        """The step of a generator, and the generator."""
        step = self._step(args, kwargs)
        step.start()
        try:
            return step, self._function(*args, **kwargs)
        except BaseException as error:  # arguments that it does not take
            step.end(error)
            raise

    def _generator(self, started: Callable[..., Tuple[Step, Any]]) -> Callable[..., Generator[Any, Any, Any]]:
        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            step, generator = started(*args, **kwargs)
            items = Items(self._takes_output)
            resume: Callable[..., Any] = generator.send
            value: Any = None
            try:
                while True:
                    item = _within(step, resume, value)
                    items.add(item)
                    try:
                        value, resume = (yield item), generator.send
                    except GeneratorExit:
                        _within(step, lambda _: generator.close(), None)
                        raise
                    except BaseException as error:
                        value, resume = error, generator.throw
            except StopIteration as stop:
                step.output = items.output(stop.value)
                step.end()
                return stop.value
            except BaseException as error:
                step.output = items.output(None)
                step.end(error)
                raise

        return call

    def _async_generator(self, started: Callable[..., Tuple[Step, Any]]) -> Callable[..., AsyncGenerator[Any, Any]]:
        async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            step, generator = started(*args, **kwargs)
            items = Items(self._takes_output)
            resume: Callable[..., Any] = generator.asend
            value: Any = None
            try:
                while True:
                    item = await _awaited_within(step, resume, value)
                    items.add(item)
                    try:
                        value, resume = (yield item), generator.asend
                    except GeneratorExit:
                        await _awaited_within(step, lambda _: generator.aclose(), None)
                        raise
                    except BaseException as error:
                        value, resume = error, generator.athrow
            except StopAsyncIteration:
                step.output = items.output(None)
                step.end()
            except BaseException as error:
                step.output = items.output(None)
                step.end(error)
                raise

        return call


def _is_future(result: Any) -> bool:
    kind = type(result)  # a proxy may raise whatever it is asked
    return hasattr(kind, "__await__") and hasattr(kind, "add_done_callback")


def _within(step: Step, resume: Callable[..., Any], value: Any) -> Any:
    """Runs a generator up to its next `yield`, with the step open only meanwhile."""
    if step._scope is None:
        return resume(value)
    before = context.read()
    context.write(step)
    try:
        return resume(value)
    finally:
        context.write(before)


async def _awaited_within(step: Step, resume: Callable[..., Any], value: Any) -> Any:
    if step._scope is None:
        return await resume(value)
    before = context.read()
    context.write(step)
    try:
        return await resume(value)
    finally:
        context.write(before)
