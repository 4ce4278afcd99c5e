"""Time the parts of one call for its trace. What is timed knows nothing of it: `observed` wraps it from outside."""

from __future__ import annotations

import inspect
import secrets
import time

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar, cast

import attrs

from tokenauthority.telemetry.trace_context import TraceContext


P = ParamSpec("P")
T = TypeVar("T")

MAX_SPANS: Final = 8192
"""Spans that wait for an export, those of the batch that is being sent included. Calls without a valid caller get half
of them, so that strangers cannot take the place of callers."""

MAX_OPERATIONS: Final = 64
"""Operations of one call that its trace shows; further ones are not timed."""

MAX_ALIKE: Final = 16
"""Those of one name; further ones share the last, so that many reads of the store leave room for what comes later."""


@attrs.define
class Operation:
    """A part of a call. Moments are nanoseconds; see `CallTrace.epoch`."""

    name: str
    start: int
    end: int
    error: str
    """The name of the class of its error; empty if it succeeded."""
    count: int = 1
    """How many it stands for: the signatures of a batch share one."""


@attrs.define(eq=False)
class CallTrace:
    """The trace of one call, in a new trace until `follow` continues that of its caller.

    It times operations until it is known not to be sampled, or until the call has ended.
    """

    trace_id: str = attrs.field(factory=partial(secrets.token_hex, 16))
    span_id: str = attrs.field(factory=partial(secrets.token_hex, 8))
    context: TraceContext | None = None
    """What the caller sent, if the call continues that."""
    sampled: bool | None = None
    """None until it is decided."""
    epoch: int = attrs.field(factory=lambda: time.time_ns() - time.perf_counter_ns())
    """What makes nanoseconds of the Unix epoch of all moments here: a clock that is set shortens no operation."""
    start: int = attrs.field(factory=time.perf_counter_ns)
    end: int = 0
    name: str = ""
    error: str = ""
    """The status, if the call failed through the fault of the server."""
    attributes: dict[str, str] = attrs.Factory(dict)
    operations: list[Operation] = attrs.Factory(list)

    @property
    def timing(self) -> bool:
        """Whether operations are still of interest."""
        return not self.end and self.sampled is not False

    def follow(self, context: TraceContext) -> None:
        """Continue the trace of *context*."""
        self.context, self.trace_id = context, context.trace_id

    def finish(self) -> None:
        """Note that the call ends now."""
        self.end = time.perf_counter_ns()

    def add(self, name: str, start: int, error: str = "", *, share: bool = False) -> None:
        """Add the operation that began at *start* and ends now; with *share*, to the earlier one of the same *name*."""
        if not self.timing:
            return
        end = time.perf_counter_ns()
        alike = [each for each in self.operations if each.name == name]
        if alike and (share or len(alike) >= MAX_ALIKE):
            last = alike[-1]
            # Those that go on at the same time end in any order.
            last.start, last.end = min(last.start, start), end
            last.error, last.count = last.error or error, last.count + 1
        elif len(self.operations) < MAX_OPERATIONS:
            self.operations.append(Operation(name, start, end, error))


current_trace: Final[ContextVar[CallTrace | None]] = ContextVar("tokenauthority.trace", default=None)
"""The trace of the call that the current task answers; None outside of one, and where no call is traced."""


def observed(name: str, work: Callable[P, T]) -> Callable[P, T]:
    """Return *work* that is timed as an operation of the call that asks for it. Calls in a row share one operation.

    A coroutine has an operation of its own, from its beginning to its end, up to MAX_ALIKE.
    """

    def observe(*args: P.args, **kwargs: P.kwargs) -> T:
        trace = current_trace.get()
        if trace is None or not trace.timing:
            return work(*args, **kwargs)
        start = time.perf_counter_ns()
        try:
            result = work(*args, **kwargs)
        except BaseException as error:
            trace.add(name, start, type(error).__name__, share=True)
            raise
        if inspect.iscoroutine(result):
            return cast("T", _awaited(trace, name, result))
        trace.add(name, start, share=True)
        return result

    return observe


class _Observed:
    """Stands for *target*, whose methods it times as `part method`."""

    def __init__(self, part: str, target: object) -> None:
        self._part = part
        self._target = target

    def __getattr__(self, name: str) -> object:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        # So that the next one finds it without this method.
        self.__dict__[name] = wrapped = observed(f"{self._part} {name}", found)
        return wrapped


def observed_object(part: str, target: T) -> T:
    """Return what stands for *target*, whose methods are `observed`, each by the name *part* and its own."""
    return cast("T", _Observed(part, target))


async def _awaited(trace: CallTrace, name: str, work: Coroutine[Any, Any, T]) -> T:
    start = time.perf_counter_ns()
    try:
        result = await work
    except BaseException as error:
        trace.add(name, start, type(error).__name__)
        raise
    trace.add(name, start)
    return result
