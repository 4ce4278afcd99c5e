"""A store whose operations fail, wait, are counted or run a hook, as a test scripts it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from tests.support.memory_store import MemoryStore
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.storage.condition import StoreCondition
from tokenauthority.storage.store import Store


if TYPE_CHECKING:
    # For the type checker alone: each operation with its signature.
    _AnyStore = MemoryStore
else:
    _AnyStore = object

WAIT: Final = 30.0
"""Seconds to wait for a call that should come at once."""

OPERATIONS: Final[Mapping[str, inspect.Signature]] = {
    name: inspect.signature(member)
    for name, member in inspect.getmembers(Store, inspect.iscoroutinefunction)
    if not name.startswith("_") and name not in {"probe", "listen"}
}
"""The operations of a store that use cases call, by name."""


@attrs.frozen
class StoreCall:
    """One call of an operation, with its arguments by the names of the parameters."""

    operation: str
    arguments: Mapping[str, object]


Hook: TypeAlias = Callable[[StoreCall], Awaitable[None]]


class Observer:
    """The calls of some operations since the observer was made. Safe to use from any thread."""

    def __init__(self) -> None:
        self.calls: list[StoreCall] = []
        self._changed = threading.Condition()

    async def __call__(self, call: StoreCall) -> None:
        """Record *call*."""
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def arguments(self, *names: str) -> list[object]:
        """Return the argument of each call that has one of *names*, in the order of the calls."""
        return [call.arguments[name] for call in self.calls for name in names if name in call.arguments]

    def clear(self) -> None:
        """Begin to count anew."""
        with self._changed:
            self.calls.clear()

    def wait(self, calls: int = 1) -> None:
        """Block until there were so many calls; for a test whose store is used on another thread."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= calls, WAIT), "the store was not called"

    async def reached(self, calls: int = 1) -> None:
        """Return when there were so many calls; for a test on the event loop that uses the store."""
        await asyncio.to_thread(self.wait, calls)


class Hold(Observer):
    """Calls that wait until they are released. It observes the calls that came so far, the waiting ones included."""

    def __init__(self, when: Callable[[StoreCall], bool], times: int | None) -> None:
        super().__init__()
        self._when, self._times = when, times
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._released = False

    async def __call__(self, call: StoreCall) -> None:
        """Record *call* and wait."""
        passed = asyncio.Event()
        with self._changed:
            if self._released or len(self._waiting) == self._times or not self._when(call):
                return
            self._waiting.append((asyncio.get_running_loop(), passed))
        await super().__call__(call)
        await passed.wait()

    def release(self) -> None:
        """Let all calls pass from now on; from any thread."""
        with self._changed:
            self._released = True
            for loop, passed in self._waiting:
                loop.call_soon_threadsafe(passed.set)


@attrs.define(eq=False)
class _Step:
    operations: frozenset[str]
    hook: Hook
    active: bool = True


class FaultyStore(_AnyStore):
    """A store over another one, in memory by default. Without a script it only passes calls on.

    The name of no operation stands for all of them. Steps of the script act in the order in which they were added.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or MemoryStore()
        self._arrivals: list[_Step] = []
        self._before: list[_Step] = []
        self._after: list[_Step] = []
        self._faults: list[_Step] = []
        self._count = self.observe()
        self._condition: StoreCondition | None = None

    @property
    def condition(self) -> StoreCondition:
        """The condition of the store, or the one that a test has set."""
        return self._store.condition if self._condition is None else self._condition

    @condition.setter
    def condition(self, condition: StoreCondition | None) -> None:
        self._condition = condition

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return an operation that follows the script, or anything else of the store as it is."""
            member = getattr(self._store, name)
            return functools.partial(self._perform, name, member) if name in OPERATIONS else member

    def fail(self, *operations: str, error: BaseException | None = None, times: int | None = None) -> None:
        """Let calls raise *error* (by default, that the store is not available), *times* times or until `recover`."""
        left = times

        async def raise_error(_: StoreCall) -> None:
            nonlocal left
            if left is not None:
                left -= 1
                step.active = left > 0
            raise error or UnavailableError.store()

        step = self._add(self._before, operations, raise_error)
        self._faults.append(step)

    def recover(self) -> None:
        """Let no call fail any more."""
        for step in self._faults:
            step.active = False

    def hold(
        self,
        *operations: str,
        when: Callable[[StoreCall], bool] = lambda _: True,
        times: int | None = None,
        answers: bool = False,
    ) -> Hold:
        """Hold calls before they reach the store, at most *times* calls.

        Or hold their *answers*, which say what the store held when the calls came.
        """
        hold = Hold(when, times)
        self._add(self._after if answers else self._before, operations, hold)
        return hold

    def observe(self, *operations: str, answers: bool = False) -> Observer:
        """Observe calls when they come; or when they were answered without an error."""
        observer = Observer()
        self._add(self._after if answers else self._arrivals, operations, observer)
        return observer

    def before(self, *operations: str, run: Hook) -> None:
        """Run a hook before a call reaches the store."""
        self._add(self._before, operations, run)

    def after(self, *operations: str, run: Hook) -> None:
        """Run a hook after a call was answered without an error."""
        self._add(self._after, operations, run)

    def count(self, *operations: str) -> int:
        """Return how many calls have come, those that failed included."""
        return sum(not operations or call.operation in operations for call in self._count.calls)

    def _add(self, steps: list[_Step], operations: tuple[str, ...], hook: Hook) -> _Step:
        unknown = set(operations) - OPERATIONS.keys()
        assert not unknown, f"a store has no {sorted(unknown)}"
        step = _Step(frozenset(operations or OPERATIONS), hook)
        steps.append(step)
        return step

    async def _perform(
        self, name: str, operation: Callable[..., Awaitable[object]], *args: object, **kwargs: object
    ) -> object:
        bound = OPERATIONS[name].bind(self, *args, **kwargs)
        bound.apply_defaults()
        call = StoreCall(name, {key: value for key, value in bound.arguments.items() if key != "self"})
        await self._run(self._arrivals, call)
        await self._run(self._before, call)
        answer = await operation(*args, **kwargs)
        await self._run(self._after, call)
        return answer

    async def _run(self, steps: list[_Step], call: StoreCall) -> None:
        # The list itself: what is added while a call is held is for that call too.
        for step in steps:
            if step.active and call.operation in step.operations:
                await step.hook(call)
