"""What waits for the disk is counted, and all lines of a batch end together."""

from __future__ import annotations

import asyncio

import pytest

from tokenauthority.audit.writing.batch import Backlog, Batch, backlog_of
from tokenauthority.clocks import monotonic
from tokenauthority.domain.errors import UnavailableError


def test_nothing_waits_in_empty_batches() -> None:
    """The age is then 0, however old the batch is."""
    assert Backlog(lines=0, size=0, age=0.0) == backlog_of(Batch(), Batch())


async def test_the_backlog_is_all_that_waits_since_the_oldest_line() -> None:
    """Lines of the commit in progress wait too, and a later line makes none younger."""
    before = monotonic()
    in_flight, pending = Batch(), Batch()
    in_flight.add("rpc", b"1234")
    in_flight.since = before - 7
    in_flight.add("rpc", b"12")
    pending.add("rpc", b"1")

    backlog = backlog_of(in_flight, pending)

    assert (3, 7) == (backlog.lines, backlog.size)
    assert backlog.age >= 7
    assert pending.since >= before


async def test_all_lines_are_settled_or_fail_together() -> None:
    """A line whose call has left changes nothing for the others."""
    settled, failed = Batch(), Batch()
    outcomes = []
    for batch in (settled, failed):
        gone, waiting = batch.add("rpc", b"1"), batch.add("rpc", b"2")
        gone.cancel()
        outcomes.append(waiting)

    settled.settle()
    failed.fail(OSError("full"))
    await asyncio.wait(outcomes)

    assert outcomes[0].done()
    with pytest.raises(UnavailableError):
        await outcomes[1]
