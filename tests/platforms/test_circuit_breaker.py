"""A platform that fails all the time is left alone, and tried by one request at a time."""

from __future__ import annotations

import pytest

from tokenauthority.platforms.circuit_breaker import FAILURES, PAUSE, CircuitBreaker, CircuitOpenError


class World:
    """A circuit on a clock that a test sets."""

    def __init__(self, failures: int = 0) -> None:
        self.now = 100.0
        self.breaker = CircuitBreaker(lambda: self.now)
        for _ in range(failures):
            self.breaker.begin()
            self.breaker.fail()

    def wait(self) -> float | None:
        """For how long nobody may ask; None if a request has begun."""
        try:
            self.breaker.begin()
        except CircuitOpenError as error:
            return error.retry_after
        return None


def test_single_failures_change_nothing() -> None:
    """Only those one after another count."""
    world = World(FAILURES - 1)
    world.breaker.succeed()
    for _ in range(FAILURES - 1):
        assert world.wait() is None
        world.breaker.fail()

    assert not world.breaker.is_open
    assert world.wait() is None


def test_opens_after_failures_one_after_another() -> None:
    """No call asks until the pause is over, and each error says how long the rest of the pause is."""
    world = World(FAILURES)
    assert world.breaker.is_open
    assert PAUSE == world.wait()
    world.now += PAUSE - 4

    assert 4 == world.wait()


def test_one_request_tries_the_platform() -> None:
    """The others wait for its outcome: all of them at once could be too much for a platform that recovers."""
    world = World(FAILURES)
    world.now += PAUSE

    assert world.wait() is None
    assert [1.0, 1.0] == [world.wait(), world.wait()]


def test_a_trial_that_succeeds_closes_it() -> None:
    """All ask again."""
    world = World(FAILURES)
    world.now += PAUSE
    world.breaker.begin()
    world.breaker.succeed()

    assert [None, None] == [world.wait(), world.wait()]
    assert not world.breaker.is_open


def test_a_trial_that_fails_begins_the_pause_anew() -> None:
    """One failure is enough now."""
    world = World(FAILURES)
    world.now += PAUSE
    world.breaker.begin()
    world.breaker.fail()

    assert PAUSE == world.wait()
    world.now += PAUSE
    assert world.wait() is None


def test_a_trial_without_outcome_makes_room_for_another() -> None:
    """The circuit would else stay open for ever."""
    world = World(FAILURES)
    world.now += PAUSE
    world.breaker.begin()
    world.breaker.abandon()

    assert world.wait() is None


def test_a_late_success_closes_it() -> None:
    """A request that had begun before the circuit opened says as much as a trial."""
    world = World()
    world.breaker.begin()
    for _ in range(FAILURES):
        world.breaker.begin()
        world.breaker.fail()
    assert world.breaker.is_open
    world.breaker.succeed()

    assert world.wait() is None


@pytest.mark.parametrize("failures", [FAILURES, 3 * FAILURES])
def test_more_failures_do_not_open_it_wider(failures: int) -> None:
    """Requests that were under way when it opened fail later."""
    world = World(FAILURES)
    for _ in range(failures):
        world.breaker.fail()

    assert PAUSE == world.wait()
