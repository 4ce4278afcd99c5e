"""Whatever goes wrong inside, callers learn what they may know and nothing else."""

from __future__ import annotations

import json

from collections.abc import MutableMapping
from typing import Any

from tests.support.authority import StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tests.support.wire import LIST_PROJECTS, V1, Connect, Wire, records
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.v1 import session_pb2


CANARY = "canary-5f1c"
BUGS = (
    ValueError(CANARY),
    LookupError(CANARY),
    AssertionError(CANARY),
    OSError(28, CANARY),
    UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
    ExceptionGroup(CANARY, [ValueError(CANARY)]),
)


def test_shows_nothing_of_a_bug(start_authority: StartAuthority, connect: Connect) -> None:
    """The answer is a fixed text with the request id; neither it nor the record holds anything of the exception."""
    store = FaultyStore()
    authority = start_authority(store=store)
    wire = connect(authority)
    for bug in BUGS:
        store.fail("list_projects", error=bug, times=1)
        outcome = wire.call(LIST_PROJECTS, metadata=[("x-request-id", "call-9")])
        record = records(authority.audit_path)[-1]

        assert ("INTERNAL", "internal error; request id call-9", "INTERNAL", ["ErrorInfo"], "call-9") == (
            outcome.code,
            outcome.message,
            outcome.reason,
            outcome.detail_names,
            outcome.request_id,
        )
        assert ("INTERNAL", "INTERNAL") == (record["code"], record["reason"])
        assert CANARY not in f"{outcome.trailers} {json.dumps(record)}"


def test_logs_a_bug_with_its_traceback(
    start_authority: StartAuthority, connect: Connect, log: list[MutableMapping[str, Any]]
) -> None:
    """Whoever is given the request id can find what happened."""
    store = FaultyStore()
    authority = start_authority(store=store)
    wire = connect(authority)
    store.fail("list_projects", error=ValueError())
    wire.call(LIST_PROJECTS)

    assert [("rpc.bug", LIST_PROJECTS, True)] == [
        (event["event"], event["method"], event["exc_info"]) for event in log if "method" in event
    ]


def test_serves_on_after_a_bug(start_authority: StartAuthority, connect: Connect) -> None:
    """One call's bug is that call's alone."""
    store = FaultyStore()
    wire = connect(start_authority(store=store))
    store.fail("list_projects", error=ValueError(CANARY), times=1)
    wire.call(LIST_PROJECTS)

    assert "OK" == wire.call(LIST_PROJECTS).code


def test_says_that_the_store_is_away(start_authority: StartAuthority, connect: Connect) -> None:
    """A store that cannot be reached is UNAVAILABLE, with the time after which to come back and without the cause."""
    store = FaultyStore()
    authority = start_authority(store=store)
    error = UnavailableError.store()
    error.__cause__ = OSError(111, CANARY)
    store.fail("list_projects", error=error)
    outcome = connect(authority).call(LIST_PROJECTS)

    assert ("UNAVAILABLE", "STORE_UNAVAILABLE", ["ErrorInfo", "RetryInfo"]) == (
        outcome.code,
        outcome.reason,
        outcome.detail_names,
    )
    assert CANARY not in str(outcome.trailers)


def test_what_is_unavailable_is_logged_with_its_reason_but_not_a_stop(
    start_authority: StartAuthority, connect: Connect, log: list[MutableMapping[str, Any]]
) -> None:
    """A server that was told to stop has nothing wrong with it."""
    store = FaultyStore()
    authority = start_authority(store=store)
    wire = connect(authority)
    error = UnavailableError.store()
    error.__cause__ = OSError(111, CANARY)
    store.fail("list_projects", error=error)
    wire.call(LIST_PROJECTS)
    authority.loop.call_soon_threadsafe(authority.app.admission.drain)
    eventually(lambda: "DRAINING" == wire.call(LIST_PROJECTS).reason, "the server does not drain")

    told = {(event["method"], event["reason"], event["cause"]) for event in log if "rpc.unavailable" == event["event"]}
    assert {(LIST_PROJECTS, "STORE_UNAVAILABLE", "ConnectionRefusedError")} == told


def test_names_every_invalid_field_at_once(wire: Wire) -> None:
    """A bad request lists one violation for each field, so that it is put right in one go."""
    request = session_pb2.CreateSessionRequest(location="nowhere", request_id="not a uuid", archive_name="x" * 81)
    outcome = wire.call(V1 + "SessionService/CreateSession", request)

    assert ("INVALID_ARGUMENT", "INVALID_FIELD", ["ErrorInfo", "BadRequest"]) == (
        outcome.code,
        outcome.reason,
        outcome.detail_names,
    )
    assert {"location", "request_id", "archive_name"} <= set(outcome.bad_fields)
