"""A step of the clock is reported once, and deletes nothing that is needed when the clock is right again."""

from __future__ import annotations

import attrs
import pytest

from prometheus_client import CollectorRegistry

from tests.support.logs import capture_logs
from tokenauthority.domain.times import Millis
from tokenauthority.server.clock_watch import ClockWatch


HOUR = 3_600_000
START = 1_800_000_000_000


@attrs.define
class Machine:
    """A machine with both clocks, and what watches them."""

    wall: int = START
    up: float = 50.0
    registry: CollectorRegistry = attrs.Factory(CollectorRegistry)
    watch: ClockWatch = attrs.Factory(
        lambda self: ClockWatch(lambda: Millis(self.wall), self.registry, lambda: self.up), takes_self=True
    )

    async def pass_time(self, seconds: float, *, step: int = 0) -> None:
        """Let time pass, and then step the wall clock by so many milliseconds; the server looks afterwards."""
        self.up += seconds
        self.wall += round(seconds * 1000) + step
        await self.watch.look()

    @property
    def steps(self) -> float | None:
        """How many steps were counted."""
        return self.registry.get_sample_value("tokenauthority_clock_steps_total")


@pytest.mark.parametrize(("step", "shown"), [(HOUR, "+3600"), (-HOUR, "-3600"), (-2000, "-2"), (40 * 24 * HOUR, "+")])
async def test_reports_a_step(step: int, shown: str) -> None:
    """Once in the log and in the counter, and for ten minutes to whoever asks."""
    machine = Machine()
    await machine.pass_time(1)
    with capture_logs() as logs:
        await machine.pass_time(1, step=step)
        during = machine.watch.problem
        await machine.pass_time(1)
        await machine.pass_time(700)

    assert [("clock.stepped", step / 1000)] == [(line["event"], line["seconds"]) for line in logs]
    assert machine.steps == 1
    assert f"by {shown}" in during
    assert "set the clock" not in machine.watch.problem


async def test_a_process_that_slept_and_a_clock_that_is_slewed_are_no_steps() -> None:
    """Both clocks count while a process or a machine is stopped; a time service changes less in a second."""
    machine = Machine()
    await machine.pass_time(7200)
    for _ in range(100):
        await machine.pass_time(1, step=500)

    assert (0, "") == (machine.steps, machine.watch.problem)


@pytest.mark.parametrize("step", [-HOUR, 50_000])
async def test_a_step_that_delays_no_deletion_is_not_shown_for_long(step: int) -> None:
    """A clock that is set back has its deletions at its own time, and less than a minute concerns nobody."""
    machine = Machine()
    await machine.pass_time(1, step=step)
    await machine.pass_time(700)

    assert machine.watch.problem == ""


async def test_follows_a_correction_that_has_lasted_for_a_day() -> None:
    """A machine may get its time after the start: its deletions are then late, which is shown, and not for ever."""
    machine = Machine()
    await machine.pass_time(1, step=365 * 24 * HOUR)
    seen = []
    for _ in range(4):
        for _ in range(12):
            await machine.pass_time(3600)
        seen.append(((machine.wall - machine.watch.cautious()) // (24 * HOUR), machine.watch.problem))
        await machine.pass_time(0, step=3000)  # the time service goes on, and does not begin the day again

    late = "what expires is deleted 31536000 seconds late"
    assert [365, 365, 365, 0] == [days for days, _ in seen]
    assert [True, True, True, False] == [late[:24] in problem for _, problem in seen]
    assert seen[0][1].startswith(late)


async def test_a_step_that_ends_within_a_day_is_never_believed() -> None:
    """However often it comes again."""
    machine = Machine()
    for _ in range(20):
        await machine.pass_time(20 * 3600, step=40 * 24 * HOUR)
        assert machine.watch.cautious() <= machine.wall - 40 * 24 * HOUR
        await machine.pass_time(3 * 3600, step=-40 * 24 * HOUR)


async def test_deletes_nothing_because_of_a_step() -> None:
    """The time for deletions does not follow a clock that is set ahead, and follows one that is set back."""
    machine = Machine()
    await machine.pass_time(60, step=40 * 24 * HOUR)
    ahead = machine.watch.cautious()
    await machine.pass_time(60, step=-41 * 24 * HOUR)
    behind = machine.watch.cautious()
    await machine.pass_time(60, step=24 * HOUR)

    assert START + 60_000 == ahead
    assert START + 120_000 - 24 * HOUR == behind
    assert START + 180_000 == machine.watch.cautious()
