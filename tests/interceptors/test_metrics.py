"""Every RPC is counted once, by method and status, and strangers cannot make new time series."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator
from typing import cast

import pytest

from prometheus_client import CollectorRegistry

from tests.support.authority import RunningAuthority, StartAuthority, eventually
from tests.support.faults import break_audit_log
from tests.support.faulty_store import FaultyStore
from tests.support.wire import LIST_PROJECTS, Connect, Wire, wait_for_record
from tokenauthority.audit.record import AuditRecord
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.interceptors.metrics import MetricsInterceptor


CHECK = "/grpc.health.v1.Health/Check"


def counts(authority: RunningAuthority) -> dict[tuple[str, str], float]:
    """How many RPCs ended, by method and code."""
    return {
        (sample.labels["method"], sample.labels["code"]): sample.value
        for metric in authority.app.registry.collect()
        for sample in metric.samples
        if sample.name == "tokenauthority_rpcs_total"
    }


def test_counts_by_method_and_status(running_authority: RunningAuthority, wire: Wire) -> None:
    """Successful and refused calls are distinguished, and calls that are not recorded are counted too."""
    for key in (None, None, "", "tak_wrong"):
        wire.call(LIST_PROJECTS, api_key=key)
    wire.call(LIST_PROJECTS, b"\xff")
    wire.call(CHECK)

    assert {
        (LIST_PROJECTS, "OK"): 2,
        (LIST_PROJECTS, "UNAUTHENTICATED"): 2,
        (LIST_PROJECTS, "INVALID_ARGUMENT"): 1,
        (CHECK, "OK"): 1,
    } == counts(running_authority)


def test_puts_unknown_methods_under_one_label(running_authority: RunningAuthority, wire: Wire) -> None:
    """A scanner cannot fill the memory of the metrics."""
    for number in range(20):
        wire.call(f"/scan/Method{number}")
        wire.call(f"/scan/Method{number}", api_key="")

    assert {("unknown", "UNIMPLEMENTED"): 20, ("unknown", "UNAUTHENTICATED"): 20} == counts(running_authority)


def test_counts_an_answer_that_could_not_be_recorded_as_unavailable(
    start_authority: StartAuthority, connect: Connect
) -> None:
    """Metrics stand outside of audit and see what the client sees."""
    authority = start_authority()
    break_audit_log(authority.audit_path)
    connect(authority).call(LIST_PROJECTS)

    assert {(LIST_PROJECTS, "UNAVAILABLE"): 1} == counts(authority)


def test_counts_what_grpcs_own_services_answer(running_authority: RunningAuthority, wire: Wire) -> None:
    """Health ends a call about an unknown service by itself; that is no OK."""
    outcome = wire.call(CHECK, b"\x0a\x07unknown")

    assert "NOT_FOUND" == outcome.code
    # Health sends its status before the call is over for the interceptors.
    eventually(lambda: bool(counts(running_authority)), "the call is not counted")
    assert {(CHECK, "NOT_FOUND"): 1} == counts(running_authority)


def test_counts_calls_that_were_cut_short(start_authority: StartAuthority, connect: Connect) -> None:
    """A bug, a passed deadline and a client that left have codes of their own, and none stays in flight."""
    store = FaultyStore()
    authority = start_authority(store=store, settings={"limits": {"max_deadline": 0.5}})
    wire = connect(authority)
    store.fail("list_projects", error=ValueError(), times=1)
    wire.call(LIST_PROJECTS)
    held = store.hold("list_projects")
    wire.call(LIST_PROJECTS)
    left = wire.start(LIST_PROJECTS)
    held.wait(2)
    left.cancel()
    wait_for_record(authority, "CANCELLED")
    held.release()
    wire.call(LIST_PROJECTS)

    assert {
        (LIST_PROJECTS, "INTERNAL"): 1,
        (LIST_PROJECTS, "DEADLINE_EXCEEDED"): 1,
        (LIST_PROJECTS, "CANCELLED"): 1,
        (LIST_PROJECTS, "OK"): 1,
    } == counts(authority)
    assert 0 == authority.app.registry.get_sample_value("tokenauthority_rpcs_in_flight")


def test_shows_calls_in_flight_and_how_long_they_took(start_authority: StartAuthority, connect: Connect) -> None:
    """The gauge stands at one while a call is held, and each ended call is in the histogram."""
    store = FaultyStore()
    authority = start_authority(store=store)
    registry = authority.app.registry
    wire = connect(authority)
    held = store.hold("list_projects")
    pending = wire.start(LIST_PROJECTS)
    held.wait()
    during = registry.get_sample_value("tokenauthority_rpcs_in_flight")
    held.release()
    pending.result()

    assert (1, 0) == (during, registry.get_sample_value("tokenauthority_rpcs_in_flight"))
    assert 1 == registry.get_sample_value("tokenauthority_rpc_seconds_count", {"method": LIST_PROJECTS})


@pytest.mark.parametrize(("recorded", "counted"), [("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"), ("", "CANCELLED")])
async def test_counts_a_cancelled_call_as_it_was_recorded(recorded: str, counted: str) -> None:
    """A handler is cancelled by a passed deadline too; one that is not recorded is a client that left."""
    registry = CollectorRegistry()
    call = Call(LIST_PROJECTS, cast("AsyncIterator[object]", None), cast("Context", None), streaming=False)
    call.record = AuditRecord(time="", request_id="r", method=LIST_PROJECTS, peer="p", code=recorded)

    async def cancelled(call: Call) -> object:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await MetricsInterceptor(registry, {LIST_PROJECTS}).intercept(call, cancelled)

    labels = {"method": LIST_PROJECTS, "code": counted, "transport": "grpc"}
    assert 1 == registry.get_sample_value("tokenauthority_rpcs_total", labels)
