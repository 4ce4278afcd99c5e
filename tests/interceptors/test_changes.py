"""A caller that changes much at once waits for itself, and nobody else does."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Mapping
from typing import cast

import pytest

from tests.support.authority import StartAuthority, make_caller
from tests.support.faulty_store import FaultyStore
from tests.support.wire import V1, Connect, outcome
from tokenauthority.audit.record import AuditRecord
from tokenauthority.domain.errors import RateLimitError
from tokenauthority.interceptors.audit import AuditInterceptor
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.interceptors.changes import CHANGES_OF_A_CALLER, ChangesInterceptor


CREATE = V1 + "ProjectService/CreateProject"
LIST = V1 + "ProjectService/ListProjects"
FAR: float = 10**9


def make_call(caller: str, method: str = CREATE, deadline: float = FAR) -> Call:
    """A call of *caller*."""
    call = Call(method, cast("AsyncIterator[object]", None), cast("Context", None), streaming=False)
    call.caller, call.deadline = make_caller(name=caller), deadline
    return call


class Busy:
    """What callers do at once until it is `over`."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.over = asyncio.Event()

    async def proceed(self, call: Call) -> object:
        """Answer once it is over."""
        self.running.append(call.caller.name if call.caller else "")
        await self.over.wait()
        return None


class Recorded:
    """The codes of an audit log."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """See `AuditLog`."""
        self.codes.append(record.code)

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """See `AuditLog`."""
        raise NotImplementedError


async def _started(changes: ChangesInterceptor, busy: Busy, *calls: Call) -> list[asyncio.Task[object]]:
    tasks = [asyncio.ensure_future(changes.intercept(call, busy.proceed)) for call in calls]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_a_change_waits_for_no_more_than_the_share_of_another_caller() -> None:
    """However many of the first caller come, the second is served, and each has its turn."""
    changes, busy = ChangesInterceptor({CREATE}, 100), Busy()
    tasks = await _started(changes, busy, *[make_call("a")] * 3 * CHANGES_OF_A_CALLER, make_call("b"))
    at_once = sorted(busy.running)
    busy.over.set()
    await asyncio.gather(*tasks)

    assert [*["a"] * CHANGES_OF_A_CALLER, "b"] == at_once
    assert 3 * CHANGES_OF_A_CALLER == busy.running.count("a")


async def test_what_changes_nothing_waits_for_nothing() -> None:
    """A read goes on beside all the changes of its caller."""
    changes, busy = ChangesInterceptor({CREATE}, 100), Busy()
    tasks = await _started(changes, busy, *[make_call("a", LIST)] * 3 * CHANGES_OF_A_CALLER)
    at_once = len(busy.running)
    busy.over.set()
    await asyncio.gather(*tasks)

    assert 3 * CHANGES_OF_A_CALLER == at_once


async def test_a_change_waits_until_its_deadline_and_is_not_made_after_it() -> None:
    """The error names the caller's own share, because its own changes fill that share."""
    changes, busy = ChangesInterceptor({CREATE}, 100), Busy()
    tasks = await _started(changes, busy, *[make_call("a")] * CHANGES_OF_A_CALLER)
    with pytest.raises(RateLimitError) as refused:
        await changes.intercept(make_call("a", deadline=0), busy.proceed)
    busy.over.set()
    await asyncio.gather(*tasks)

    assert ("caller:a", "changes") == (refused.value.subject, refused.value.limit)
    assert CHANGES_OF_A_CALLER == len(busy.running)


async def test_a_change_that_waits_for_somebody_outside_holds_no_place() -> None:
    """A caller whose sessions a slow platform makes can still revoke; the change then takes its turn again."""
    changes, outside, inside = ChangesInterceptor({CREATE}, 100), Busy(), Busy()

    async def ask(call: Call) -> object:
        async with call.aside():
            await outside.proceed(call)
        return await inside.proceed(call)

    asking = [asyncio.ensure_future(changes.intercept(make_call("a"), ask)) for _ in range(3 * CHANGES_OF_A_CALLER)]
    busy = Busy()
    others = await _started(changes, busy, make_call("a"))
    waiting = len(outside.running)
    outside.over.set()
    for _ in range(9):
        await asyncio.sleep(0)
    at_once = len(inside.running)
    for each in (inside, busy):
        each.over.set()
    await asyncio.gather(*asking, *others)

    assert (3 * CHANGES_OF_A_CALLER, ["a"]) == (waiting, busy.running)
    assert CHANGES_OF_A_CALLER - 1 == at_once
    assert 3 * CHANGES_OF_A_CALLER == len(inside.running)


async def test_a_change_whose_caller_leaves_while_it_waits_is_not_made() -> None:
    """It is recorded as cancelled, and the next one has its place."""
    log, changes, busy = Recorded(), ChangesInterceptor({CREATE}, 100), Busy()
    audit = AuditInterceptor(log, unrecorded=(), finishing={CREATE})
    tasks = await _started(changes, busy, *[make_call("a")] * CHANGES_OF_A_CALLER)
    waiting = make_call("a")
    waiting.record = AuditRecord(time="", request_id="r", method=CREATE, peer="p")
    left = asyncio.ensure_future(audit.intercept(waiting, lambda call: changes.intercept(call, busy.proceed)))
    await asyncio.sleep(0)
    next_one = await _started(changes, busy, make_call("a"))
    left.cancel()
    busy.over.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    await asyncio.gather(*tasks, *next_one)

    assert ["CANCELLED"] == log.codes
    assert CHANGES_OF_A_CALLER + 1 == len(busy.running)


def test_a_server_has_no_more_changes_of_a_caller_in_its_store(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """The others come after them."""
    store = FaultyStore()
    running = start_authority(store=store)
    wire, held = connect(running), store.hold("create_project")
    calls = [wire.start(CREATE) for _ in range(CHANGES_OF_A_CALLER + 1)]
    held.wait(CHANGES_OF_A_CALLER)
    assert "OK" == wire.call(LIST).code
    in_store = len(held.calls)
    held.release()

    assert {"OK"} == {outcome(call).code for call in calls}
    assert CHANGES_OF_A_CALLER == in_store
