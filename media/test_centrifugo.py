"""A real Centrifugo takes our tokens by the JWKS, and lets their bearers into the channels of their sessions alone."""

from __future__ import annotations

import time

import grpc
import jwt
import pytest

from media.centrifugo import RefusedError
from media.conftest import ChannelWorld
from tests.service.api import failure, reason_of
from tests.support.authority import eventually
from tokenauthority.v1 import key_pb2, project_pb2, role_pb2, token_pb2


UNAUTHORIZED = 101
PERMISSION_DENIED = 103
TOKEN_EXPIRED = 109
INVALID_TOKEN = 3500
CONNECTION_EXPIRED = 3005

FITTING = {"publisher": True, "moderator": True, "chatter": True, "publisheronly": False, "camera": False}
"""Whether a role that fits is in the channel of the session."""
OWN = {"chatter": ("subscribe", "signal"), "camera": ("publish", "force_mute"), "speaker": ("publish", "signal")}


@pytest.fixture(scope="module", autouse=True)
def _own_roles(channels: ChannelWorld) -> None:
    for name, permissions in OWN.items():
        values = [role_pb2.Permission.Value(f"PERMISSION_{each.upper()}") for each in permissions]
        request = role_pb2.CreateRoleRequest(project_id=channels.project_id, name=name, permissions=values)
        channels.api.roles.CreateRole(request)


@pytest.fixture
def session_id(channels: ChannelWorld) -> str:
    """A session of the project."""
    return channels.api.new_session(channels.project_id).session_id


async def test_two_people_of_a_session_talk_in_its_channel(channels: ChannelWorld, session_id: str) -> None:
    """Under their subjects."""
    alice, bob = (channels.api.generate(session_id, subject=name).token for name in ("alice", "bob"))

    async with channels.centrifugo.connected(alice) as first, channels.centrifugo.connected(bob) as second:
        await first.publish(session_id, "hello")

        assert (session_id, "alice", "hello") == await second.received()


@pytest.mark.parametrize("role", FITTING)
async def test_a_person_is_in_the_channel_if_the_role_says_so(
    channels: ChannelWorld, session_id: str, role: str
) -> None:
    """And may then publish to it; with and without a subject."""
    for subject in ("alice", ""):
        token = channels.api.generate(session_id, role=role, subject=subject).token

        async with channels.centrifugo.connected(token) as person:
            assert person.channels == ({session_id} if FITTING[role] else set())
            if FITTING[role]:
                await person.publish(session_id, "hello")
            else:
                assert PERMISSION_DENIED == await _refusal_to_publish(channels, token, session_id)


@pytest.mark.parametrize("role", ["subscriber", "speaker"])
def test_a_role_that_centrifugo_cannot_keep_to_gets_no_token(
    channels: ChannelWorld, session_id: str, role: str
) -> None:
    """Nobody in a channel can be kept from publishing there, and nobody outside can publish."""
    refused = failure(lambda: channels.api.generate(session_id, role=role))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["request.role"]) == (refused.code, refused.fields)
    assert "Centrifugo" in refused.violations[0][1]


async def test_the_name_of_a_session_is_its_channel(channels: ChannelWorld) -> None:
    """People read it there."""
    session_id = channels.api.new_session(channels.project_id, name="standup").session_id

    async with channels.centrifugo.connected(channels.api.generate(session_id).token) as person:
        assert {"standup"} == person.channels


async def test_nobody_enters_the_channel_of_another_session(channels: ChannelWorld, session_id: str) -> None:
    """Neither to hear nor to speak."""
    other = channels.api.new_session(channels.project_id).session_id

    async with channels.centrifugo.connected(channels.api.generate(session_id).token) as person:
        with pytest.raises(RefusedError) as to_hear:
            await person.subscribe(other)
        with pytest.raises(RefusedError) as to_speak:
            await person.publish(other, "hello")

    assert [PERMISSION_DENIED, PERMISSION_DENIED] == [to_hear.value.code, to_speak.value.code]


async def test_the_tokens_of_two_keys_are_valid_over_a_rotation(channels: ChannelWorld, session_id: str) -> None:
    """Centrifugo fetches the keys again when it meets the id of a new one."""
    keys = channels.api.keys
    older = channels.api.generate(session_id)
    async with channels.centrifugo.connected(older.token):
        prepared = keys.PrepareSigningKey(key_pb2.PrepareSigningKeyRequest()).key
        eventually(lambda: _activated(channels, prepared.key_id), "the new key may not sign")
        newer = channels.api.generate(session_id)

    assert older.key_id != newer.key_id == prepared.key_id
    for token in (older, newer):
        async with channels.centrifugo.connected(token.token) as person:
            assert {session_id} == person.channels


async def test_centrifugo_refuses_what_is_not_for_its_project(channels: ChannelWorld, session_id: str) -> None:
    """A token of another project under the same keys, one of a project secret, a changed one, and none."""
    request = project_pb2.CreateProjectRequest(claims_for=[project_pb2.REAL_TIME_SERVER_CENTRIFUGO])
    other = channels.api.projects.CreateProject(request).project.project_id
    elsewhere = channels.api.generate(channels.api.new_session(other).session_id).token
    opentok = channels.api.generate(session_id, format=token_pb2.TOKEN_FORMAT_OPENTOK_JWT).token
    changed = channels.api.generate(session_id).token[:-6] + "AAAAAA"

    assert [INVALID_TOKEN] * 3 == [await _refusal(channels, token) for token in (elsewhere, opentok, changed)]
    assert 0 != await _refusal(channels, "")


async def test_a_person_leaves_when_the_token_expires(channels: ChannelWorld, session_id: str) -> None:
    """And cannot return with it."""
    token = channels.api.generate(session_id, ttl=5).token

    async with channels.centrifugo.connected(token) as person:
        assert CONNECTION_EXPIRED == await person.closed()

    assert jwt.decode(token, options={"verify_signature": False})["exp"] <= time.time()
    assert TOKEN_EXPIRED == await _refusal(channels, token)


def test_a_revoked_token_is_refused_by_the_authority(channels: ChannelWorld, session_id: str) -> None:
    """Centrifugo itself knows of no revocation."""
    token = channels.api.generate(session_id).token

    channels.api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=token))

    assert "REVOKED" == reason_of(channels.api.verify(token))


def _activated(channels: ChannelWorld, key_id: str) -> bool:
    try:
        channels.api.keys.ActivateSigningKey(key_pb2.ActivateSigningKeyRequest(key_id=key_id))
    except grpc.RpcError:
        # Until everyone who caches the keys can know the new one.
        return False
    return True


async def _refusal(channels: ChannelWorld, token: str) -> int:
    try:
        async with channels.centrifugo.connected(token):
            return 0
    except RefusedError as error:
        return error.code


async def _refusal_to_publish(channels: ChannelWorld, token: str, channel: str) -> int:
    async with channels.centrifugo.connected(token) as person:
        with pytest.raises(RefusedError) as refused:
            await person.publish(channel, "hello")
    return refused.value.code
