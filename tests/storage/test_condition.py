"""What a store can do is learnt from its own work: each loss and each recovery is logged once, with its cause."""

from __future__ import annotations

import sqlite3

from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import NoReturn

import pytest

from tests.storage.builders import make_project
from tests.storage.conftest import sqlite_path_of
from tests.support.logs import capture_logs
from tokenauthority.domain.errors import NotFoundError, Reason, UnavailableError
from tokenauthority.storage.condition import ConditionTracker, StoreCondition
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.sql import open_store


class Clock:
    """A monotonic clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def tracker(clock: Clock) -> ConditionTracker:
    """A tracker that has observed nothing."""
    return ConditionTracker(clock)


async def _succeed() -> None:
    """Do some work."""


async def _refuse() -> None:
    raise NotFoundError(Reason.SESSION_NOT_FOUND, "session", "1_x")


def _fail(error: sqlite3.Error | None = None, cause: str = "SQLITE_BUSY: database is locked") -> Awaitable[None]:
    async def work() -> None:
        raise UnavailableError.store(cause) from error

    return work()


def _busy() -> sqlite3.Error:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


async def _observed(tracker: ConditionTracker, unit: Awaitable[None], *, writes: bool) -> StoreCondition:
    with suppress(UnavailableError, NotFoundError):
        await tracker.observe(unit, writes=writes)
    return tracker.condition


async def test_a_failed_write_leaves_reading_as_it_is(tracker: ConditionTracker, clock: Clock) -> None:
    """A store that is locked can be read, and says since when it cannot be written."""
    clock.now = 7.0

    condition = await _observed(tracker, _fail(_busy()), writes=True)

    assert StoreCondition(can_write=False, cause="SQLITE_BUSY: database is locked", since=7.0) == condition
    assert "cannot be written: SQLITE_BUSY: database is locked" == condition.problem


async def test_a_store_without_an_answer_can_do_nothing(tracker: ConditionTracker) -> None:
    """An error that no database sent says that it can be neither read nor written, whatever the work was."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN

    condition = await _observed(tracker, _fail(error, "SQLITE_CANTOPEN: unable to open"), writes=True)

    assert (False, False) == (condition.can_read, condition.can_write)
    assert "cannot be read: SQLITE_CANTOPEN: unable to open" == condition.problem


async def test_only_a_write_shows_that_writes_succeed(tracker: ConditionTracker, clock: Clock) -> None:
    """A read, or a refusal of a use case, does not end the loss of writing."""
    await _observed(tracker, _fail(_busy()), writes=True)
    clock.now = 5.0

    conditions = [
        await _observed(tracker, _succeed(), writes=False),
        await _observed(tracker, _refuse(), writes=True),
        await _observed(tracker, _succeed(), writes=True),
    ]

    assert [False, False, True] == [condition.can_write for condition in conditions]
    assert StoreCondition() == tracker.condition


async def test_a_key_that_does_not_open_is_no_loss_of_the_store(sqlite_url: str) -> None:
    """What the rule of a use case cannot do in its unit of work says nothing about the store, whatever its error."""
    store = open_store(sqlite_url)

    def refuse(_: object) -> NoReturn:
        raise refusal

    try:
        with capture_logs() as logs:
            for refusal in (UnavailableError.seal_broken("signing key X"), UnavailableError.signing(), KeyError("bug")):
                with pytest.raises(type(refusal)):
                    await store.update_keys(refuse)
        condition = store.condition
    finally:
        await store.close()

    assert StoreCondition() == condition
    assert [] == logs


async def test_one_line_for_a_loss_and_one_for_its_end(tracker: ConditionTracker, clock: Clock) -> None:
    """However often and of whatever causes work fails, the log has the first cause, and at the end the last one."""
    with capture_logs() as logs:
        for cause in ("57P01: terminating", "OperationalError: connection refused", "57P03: starting up"):
            await _observed(tracker, _fail(cause=cause), writes=True)
            await _observed(tracker, _fail(cause=cause), writes=False)
        clock.now = 4.0
        await _observed(tracker, _succeed(), writes=False)
        await _observed(tracker, _succeed(), writes=True)

    assert [
        {"event": "store.unavailable", "log_level": "error", "cause": "57P01: terminating"}
        | {"can_read": True, "can_write": False},
        {"event": "store.recovered", "log_level": "info", "cause": "57P03: starting up", "seconds": 4.0},
    ] == logs


async def test_times_reads_and_writes_whatever_their_outcome(tracker: ConditionTracker, clock: Clock) -> None:
    """A slow store is seen before it is lost, and a store that fails after a long wait too."""

    async def work(seconds: float, error: Exception | None = None) -> None:
        clock.now += seconds
        if error is not None:
            raise error

    await _observed(tracker, work(0.3), writes=False)
    await _observed(tracker, work(2.0), writes=True)
    await _observed(tracker, work(5.0, UnavailableError.store("57P01: terminating")), writes=True)
    await _observed(tracker, work(4.0, NotFoundError(Reason.SESSION_NOT_FOUND, "session", "1_x")), writes=True)

    assert [0.3, 11.0] == [round(tracker.durations[kind].seconds, 3) for kind in ("read", "write")]
    assert [1, 3] == [tracker.durations[kind].buckets[-1][1] for kind in ("read", "write")]


async def test_a_store_that_fails_now_and_then_logs_one_loss(tracker: ConditionTracker, clock: Clock) -> None:
    """Successes among failures are no recovery: the log does not grow with them."""
    with capture_logs() as logs:
        for _ in range(100):
            clock.now += 0.5
            await _observed(tracker, _fail(_busy()), writes=True)
            await _observed(tracker, _succeed(), writes=True)
        failing = tracker.condition.can_write
        clock.now += 1
        await _observed(tracker, _succeed(), writes=True)

    assert not failing
    assert ["store.unavailable", "store.recovered"] == [line["event"] for line in logs]


@pytest.mark.parametrize(
    ("last", "idle", "due"),
    [
        (_succeed, 9.9, False),
        (_succeed, 10.0, True),
        (lambda: _fail(_busy()), 0.9, False),
        (lambda: _fail(_busy()), 1.0, True),
    ],
)
async def test_a_probe_is_due_where_no_write_has_lately_shown_it(
    tracker: ConditionTracker, clock: Clock, last: Callable[[], Awaitable[None]], idle: float, *, due: bool
) -> None:
    """The result of the last write is enough for ten seconds, and for one second during a loss."""
    first = tracker.write_is_due
    await _observed(tracker, last(), writes=True)
    clock.now += idle

    assert (True, due) == (first, tracker.write_is_due)


async def test_a_probe_finds_a_loss_and_its_end(sqlite_url: str) -> None:
    """Without any other work, a probe says that another process holds the lock, and then that it does not."""
    clock = Clock()
    store = open_store(sqlite_url, StoreLimits(busy_timeout=0.1), clock)
    try:
        await store.create_project(make_project())
        with closing(sqlite3.connect(sqlite_path_of(sqlite_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            clock.now += 10
            await store.probe()
            lost = store.condition
        clock.now += 1
        await store.probe()
        found = store.condition
    finally:
        await store.close()

    assert (True, False, "SQLITE_BUSY: database is locked") == (lost.can_read, lost.can_write, lost.cause)
    assert StoreCondition() == found
