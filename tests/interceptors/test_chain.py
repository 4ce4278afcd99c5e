"""The chain runs around every RPC: unary, streams and those of methods that nobody registered."""

from __future__ import annotations

import threading

from typing import cast

import grpc
import pytest

from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tests.support.authority import WAIT, RunningAuthority, StartAuthority, make_caller
from tests.support.wire import LIST_PROJECTS, V1, Connect, Wire, records
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.contract import SERVICES
from tokenauthority.v1 import token_pb2, token_pb2_grpc


WATCH = V1 + "TokenService/WatchRevocations"


def test_has_no_method_that_a_servicer_lacks(running_authority: RunningAuthority, wire: Wire) -> None:
    """Health's List is in its contract and not in grpcio's servicer: that is no bug to log, and no INTERNAL."""
    outcome = wire.call("/grpc.health.v1.Health/List", api_key="")

    assert ("UNIMPLEMENTED", "UNIMPLEMENTED") == (outcome.code, outcome.reason)


def test_guards_a_stream(running_authority: RunningAuthority, wire: Wire) -> None:
    """A stream of a stranger is refused and recorded as a unary call is."""
    refused = wire.call(WATCH, api_key="")
    (record,) = records(running_authority.audit_path)

    assert ("UNAUTHENTICATED", "CREDENTIAL_INVALID") == (refused.code, refused.reason)
    assert (WATCH, "UNAUTHENTICATED") == (record["method"], record["code"])


def test_records_malformed_bytes_of_a_stream(running_authority: RunningAuthority, wire: Wire) -> None:
    """They are decoded inside the chain, as those of a unary call are: known caller, ordinary error, one record."""
    refused = wire.call(WATCH, b"\xff\xff\xff")
    (record,) = records(running_authority.audit_path)

    assert ("INVALID_ARGUMENT", "INVALID_FIELD") == (refused.code, refused.reason)
    assert ("INVALID_ARGUMENT", "tester", "tokens.watch") == (record["code"], record["caller"], record["action"])


def test_ends_a_stream_with_its_own_error(running_authority: RunningAuthority, wire: Wire) -> None:
    """A domain error of a streaming handler has its status, its id and its record."""
    stub = token_pb2_grpc.TokenServiceStub(wire.channel)
    stream = stub.WatchRevocations(
        token_pb2.WatchRevocationsRequest(resume_token="made up"),
        timeout=WAIT,
        metadata=(("authorization", f"Bearer {wire.api_key}"), ("x-request-id", "watch-1")),
    )
    with pytest.raises(grpc.RpcError):
        list(stream)
    (record,) = records(running_authority.audit_path)

    assert (stream.code().name, "watch-1") == (record["code"], record["request_id"])


def test_answers_a_message_of_an_unknown_service(wire: Wire) -> None:
    """An unknown method with a body and one without are the same."""
    assert ["UNIMPLEMENTED"] * 2 == [wire.call("/a/B", body).code for body in (b"", b"\xff" * 1000)]


def test_refuses_a_request_that_is_too_large(running_authority: RunningAuthority, wire: Wire) -> None:
    """GRPC's own limit holds before anything is kept in memory, and the connection serves on."""
    too_large = wire.call(LIST_PROJECTS, b"\x00" * (12 * 1024 * 1024 + 1))

    assert "RESOURCE_EXHAUSTED" == too_large.code
    assert "OK" == wire.call(LIST_PROJECTS).code


def test_takes_the_largest_legal_batch(running_authority: RunningAuthority, connect: Connect) -> None:
    """1000 items of 4-byte characters pass the limit of size: what is refused is the session that they name."""
    wire = connect(running_authority)
    item = token_pb2.TokenRequest(
        session_id="2_" + "A" * 253,
        data="\U0001f600" * 1000,
        subject="\U0001f600" * 255,
        initial_layout_class_list=["\U0001f600" * 1000],
    )
    batch = token_pb2.BatchGenerateTokensRequest(requests=[item] * 1000)
    refused = wire.call(V1 + "TokenService/BatchGenerateTokens", batch)

    assert "INVALID_ARGUMENT" == refused.code
    assert "requests[0].session_id" in refused.bad_fields


def test_refuses_metadata_that_is_too_large(wire: Wire) -> None:
    """What fits is served; what is above the hard limit never gets to the chain; the connection serves on."""
    fits = wire.call(LIST_PROJECTS, metadata=[("x-filler", "a" * 4000)])
    too_large = wire.call(LIST_PROJECTS, metadata=[("x-filler", "a" * 17_000)])

    assert ("OK", "RESOURCE_EXHAUSTED", "", "OK") == (
        fits.code,
        too_large.code,
        too_large.request_id,
        wire.call(LIST_PROJECTS).code,
    )


def test_shows_the_contract_by_reflection_where_it_is_on(running_authority: RunningAuthority, wire: Wire) -> None:
    """All of our services are listed, and no caller is asked for."""
    (answer,) = _reflected(wire.channel)
    names = {service.name for service in answer.list_services_response.service}

    assert {*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME} == names


def test_a_stream_that_ends_by_itself_is_recorded_as_opened_once(
    running_authority: RunningAuthority, wire: Wire
) -> None:
    """Such as reflection's, whose caller has no more questions: the second record says how it ended."""
    _reflected(wire.channel)
    found = records(running_authority.audit_path)

    assert [("OK", "OPENED"), ("OK", None)] == [(record["code"], record.get("reason")) for record in found]


def test_has_no_reflection_unless_asked(start_authority: StartAuthority, connect: Connect) -> None:
    """Off, the method does not exist for anybody."""
    authority = start_authority(
        settings={"listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "ops": "127.0.0.1:0"}}
    )
    with pytest.raises(grpc.RpcError) as caught:
        _reflected(connect(authority).channel)

    assert grpc.StatusCode.UNIMPLEMENTED == cast("grpc.Call", caught.value).code()


def _reflected(channel: grpc.Channel) -> list[reflection_pb2.ServerReflectionResponse]:
    ask: grpc.StreamStreamMultiCallable[
        reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    ] = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=WAIT))


def test_keeps_concurrent_calls_apart(start_authority: StartAuthority, connect: Connect) -> None:
    """Many calls of several callers at once: each record has its own caller and id."""
    keys = {f"caller-{number}": new_api_key() for number in range(4)}
    authority = start_authority(callers={key: make_caller(name) for name, key in keys.items()})
    wire = connect(authority)

    def work(name: str) -> None:
        for number in range(25):
            wire.call(LIST_PROJECTS, api_key=keys[name], metadata=[("x-request-id", f"{name}.{number}")])

    threads = [threading.Thread(target=work, args=(name,)) for name in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    found = {(record["request_id"], record["caller"], record["code"]) for record in records(authority.audit_path)}

    assert {(f"{name}.{number}", name, "OK") for name in keys for number in range(25)} == found
