"""Every RPC gets an id, which goes back to the caller, and a deadline."""

from __future__ import annotations

import re

import pytest

from tests.support.authority import RunningAuthority, StartAuthority
from tests.support.faulty_store import FaultyStore
from tests.support.wire import LIST_PROJECTS, Connect, Wire, records
from tokenauthority.interceptors import request


def test_takes_the_callers_request_id(wire: Wire, running_authority: RunningAuthority) -> None:
    """An `x-request-id` of the allowed shape is sent back and stands in the record."""
    for given in ("a", "A-1_b.2", "x" * 64):
        outcome = wire.call(LIST_PROJECTS, metadata=[("x-request-id", given)])

        assert (given, given) == (outcome.request_id, records(running_authority.audit_path)[-1]["request_id"])


def test_sends_the_request_id_back_with_an_error(wire: Wire) -> None:
    """A refused caller can name its call too: in the trailer and in the details."""
    outcome = wire.call(LIST_PROJECTS, api_key="", metadata=[("x-request-id", "call-7")])

    assert ("UNAUTHENTICATED", "call-7") == (outcome.code, outcome.request_id)
    assert "call-7" == outcome.error_info.metadata["request_id"]


def test_refuses_an_odd_request_id(wire: Wire, running_authority: RunningAuthority) -> None:
    """What could mislead a reader of logs is replaced by an id of the server's own."""
    for odd in ("", "x" * 65, "a b", "a/b", 'a"b', "a{b}", "%0a"):
        outcome = wire.call(LIST_PROJECTS, metadata=[("x-request-id", odd)])

        assert outcome.code == "OK"
        assert re.fullmatch(r"[0-9a-f]{32}", str(outcome.request_id))
        assert outcome.request_id == records(running_authority.audit_path)[-1]["request_id"]


def test_makes_another_request_id_for_each_call(wire: Wire) -> None:
    """Two calls that name none can be told apart."""
    assert wire.call(LIST_PROJECTS).request_id != wire.call(LIST_PROJECTS).request_id


@pytest.mark.parametrize("timeout", [None, 25.0])
def test_caps_the_time_of_every_unary_call(
    start_authority: StartAuthority, connect: Connect, timeout: float | None
) -> None:
    """A call without a deadline, or with a far one, ends at the server's."""
    store = FaultyStore()
    authority = start_authority(store=store, settings={"limits": {"max_deadline": 0.05}})
    store.hold("list_projects")
    outcome = connect(authority).call(LIST_PROJECTS, timeout=timeout)

    assert ("DEADLINE_EXCEEDED", "the deadline passed") == (outcome.code, outcome.message)
    assert "DEADLINE_EXCEEDED" == records(authority.audit_path)[-1]["code"]


def test_records_only_so_much_of_the_user_agent(running_authority: RunningAuthority, connect: Connect) -> None:
    """A caller cannot blow up the audit log with its name."""
    wire = connect(running_authority, **{"grpc.primary_user_agent": "a" * 4000})
    assert wire.call(LIST_PROJECTS).code == "OK"

    assert "a" * 200 == records(running_authority.audit_path)[-1]["user_agent"]


@pytest.mark.parametrize(
    ("given", "recorded"),
    [("grpc (é)", "grpc (?)"), ("a\x07\x7f\nb", "a???b"), ("grpc ~1", "grpc ~1")],
)
def test_records_printable_characters_of_the_user_agent_alone(given: str, recorded: str) -> None:
    """A caller cannot forge a line of a log, or hide a part of one."""
    assert recorded == request._user_agent({"user-agent": [given]})
