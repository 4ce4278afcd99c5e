"""Revocations and their events are frozen values."""

from __future__ import annotations

import dataclasses

from datetime import UTC

import grpc
import pytest

from google.protobuf.timestamp_pb2 import Timestamp

from tests.client.conftest import Client, ScriptedServer, done, entered, giving
from tests.client.watching import named, next_event, resumed, revoked
from tokenauthority.client import (
    AuthorityError,
)
from tokenauthority.v1 import token_pb2


async def test_a_revocation_is_frozen_and_hides_its_comment(client: Client) -> None:
    """It may be about a person; times are in UTC."""
    revocation = await done(client.revoke_tokens(token_id="abc", comment="bob's phone"))

    assert "phone" not in repr(revocation)
    assert UTC is revocation.create_time.tzinfo
    assert revocation.create_time < revocation.issued_before < revocation.expire_time
    with pytest.raises(dataclasses.FrozenInstanceError):
        revocation.comment = ""  # type: ignore[misc]  # what a frozen value refuses


NEWER = {
    "event": token_pb2.WatchRevocationsResponse(resume_token="7.7"),
    "target": token_pb2.WatchRevocationsResponse(
        resume_token="7.7", revocation=token_pb2.Revocation(revocation_id="rev_1", project_id="47000000")
    ),
}


@pytest.mark.parametrize("message", NEWER.values(), ids=NEWER)
async def test_what_a_newer_contract_revokes_is_not_skipped(
    scripted_server: ScriptedServer, scripted_client: Client, message: token_pb2.WatchRevocationsResponse
) -> None:
    """It would be missed for ever: each attempt fails, and the resume token stays the one before."""
    scripted_server.answers = [revoked("6.6", "bob"), giving(message), giving(message)]
    async with entered(scripted_client.watch_revocations()) as watch:
        first = await named(watch, 1)
        errors = []
        for _ in range(2):
            with pytest.raises(AuthorityError, match="does not know: update it") as caught:
                await next_event(watch)
            errors.append((caught.value.code, watch.resume_token))

    assert ["bob"] == first
    assert [(grpc.StatusCode.UNIMPLEMENTED, "6.6")] * 2 == errors
    assert ["", "6.6", "6.6"] == resumed(scripted_server)


FAR = Timestamp(seconds=10**12)
BROKEN = {
    "issued_before": token_pb2.WatchRevocationsResponse(
        resume_token="7.7", revocation=token_pb2.Revocation(subject="eve", issued_before=FAR)
    ),
    "end_time": token_pb2.WatchRevocationsResponse(
        resume_token="7.7", session_end=token_pb2.SessionEnd(session_id="2_abc", end_time=Timestamp(nanos=-1))
    ),
    "time": token_pb2.WatchRevocationsResponse(resume_token="7.7", heartbeat=token_pb2.Heartbeat(time=FAR)),
}


@pytest.mark.parametrize("field", BROKEN)
async def test_an_event_with_an_invalid_time_is_not_skipped(
    scripted_server: ScriptedServer, scripted_client: Client, field: str
) -> None:
    """The watch fails and names the field; the resume token stays the one before, so that the event comes again."""
    scripted_server.answers = [revoked("6.6", "bob"), giving(BROKEN[field])]
    async with entered(scripted_client.watch_revocations()) as watch:
        await named(watch, 1)
        with pytest.raises(AuthorityError, match=f"sent an event with an invalid {field}") as caught:
            await next_event(watch)

    assert (grpc.StatusCode.DATA_LOSS, "6.6") == (caught.value.code, watch.resume_token)
