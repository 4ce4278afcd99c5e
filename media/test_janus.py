"""A real Janus takes our tokens, and lets their bearers into the room of their session alone."""

from __future__ import annotations

import base64
import hashlib
import hmac

from collections.abc import Iterator

import attrs
import grpc
import pytest

from media import janus
from media.janus import RefusedError
from tests.service.api import Api, failure, reason_of
from tokenauthority.v1 import project_pb2, role_pb2, token_pb2


JANUS = token_pb2.TOKEN_FORMAT_JANUS
WRONG_TOKEN = 433
OF_THE_ROOM = {"signed_tokens": True, "publishers": 6, "is_private": True, "secret": "of-the-moderators"}


@attrs.frozen(kw_only=True)
class RoomWorld:
    """A project of an authority, a session of it without a name, and the Janus that has its secret and the rooms."""

    api: Api
    janus: janus.Janus
    project_id: str
    secret: str
    unnamed: str


@pytest.fixture(scope="module")
def rooms(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoomWorld]:
    """Rooms with the settings that the how-to page asks for."""
    made = api.projects.CreateProject(project_pb2.CreateProjectRequest())
    project_id, secret = made.project.project_id, made.secret.secret
    unnamed = api.new_session(project_id).session_id
    settings = dict.fromkeys(("standup", "lunch", unnamed), OF_THE_ROOM)
    with janus.running(tmp_path_factory.mktemp("janus"), secret, settings) as server:
        yield RoomWorld(api=api, janus=server, project_id=project_id, secret=secret, unnamed=unnamed)


@pytest.fixture(scope="module")
def session_id(rooms: RoomWorld) -> str:
    """The session whose room is `standup`."""
    return rooms.api.new_session(rooms.project_id, name="standup").session_id


async def test_a_person_joins_the_room_of_the_session(rooms: RoomWorld, session_id: str) -> None:
    """With a token that says more than Janus reads, whatever the person chose."""
    token = rooms.api.generate(session_id, format=JANUS, subject="alice,room=lunch", data="a=b:é")

    joined = await rooms.janus.join("standup", token.token)

    assert "standup" == joined.room
    claims = rooms.api.verify(token.token, session_id=session_id).claims
    assert ("alice,room=lunch", "a=b:é", "publisher") == (claims.subject, claims.data, claims.role)


async def test_without_a_name_the_room_is_the_session(rooms: RoomWorld) -> None:
    """Its id is a room as any other."""
    token = rooms.api.generate(rooms.unnamed, format=JANUS).token

    assert rooms.unnamed == (await rooms.janus.join(rooms.unnamed, token)).room


async def test_a_person_may_subscribe_and_not_moderate(rooms: RoomWorld, session_id: str) -> None:
    """To hear takes the token too; to remove somebody takes the secret of the room."""
    token = rooms.api.generate(session_id, format=JANUS).token
    async with rooms.janus.attached() as speaker, rooms.janus.attached() as hearer:
        person = await speaker.join("standup", token)
        to_hear = {"request": "join", "ptype": "subscriber", "room": "standup", "streams": [{"feed": person.person_id}]}
        removal = {"request": "kick", "room": "standup", "id": person.person_id}

        with pytest.raises(RefusedError) as without:
            await hearer.ask(to_hear)
        with pytest.raises(RefusedError) as with_token:
            await hearer.ask({**to_hear, "token": token})
        with pytest.raises(RefusedError, match="secret"):
            await speaker.ask(removal)

    # Janus comes as far as the streams of somebody who has none yet.
    assert WRONG_TOKEN == without.value.code != with_token.value.code


@pytest.mark.parametrize("role", ["subscriber", "publisheronly", "moderator", "speaker"])
def test_a_role_that_janus_cannot_keep_to_gets_no_token(rooms: RoomWorld, session_id: str, role: str) -> None:
    """Whoever is in may publish, subscribe and signal; nobody may moderate by a token."""
    if role == "speaker":
        permissions = [role_pb2.PERMISSION_PUBLISH, role_pb2.PERMISSION_SIGNAL]
        request = role_pb2.CreateRoleRequest(project_id=rooms.project_id, name=role, permissions=permissions)
        rooms.api.roles.CreateRole(request)

    refused = failure(lambda: rooms.api.generate(session_id, format=JANUS, role=role))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["request.role"]) == (refused.code, refused.fields)
    assert "Janus" in refused.violations[0][1]


async def test_a_role_of_the_project_that_fits_gets_one(rooms: RoomWorld, session_id: str) -> None:
    """Its name comes back."""
    permissions = [role_pb2.PERMISSION_SUBSCRIBE, role_pb2.PERMISSION_PUBLISH, role_pb2.PERMISSION_SIGNAL]
    request = role_pb2.CreateRoleRequest(project_id=rooms.project_id, name="guest", permissions=permissions)
    rooms.api.roles.CreateRole(request)

    token = rooms.api.generate(session_id, format=JANUS, role="guest").token

    assert "standup" == (await rooms.janus.join("standup", token)).room
    claims = rooms.api.verify(token).claims
    assert ("guest", permissions) == (claims.role, list(claims.permissions))


async def test_janus_refuses_what_is_not_for_the_room(rooms: RoomWorld, session_id: str) -> None:
    """Another room, another project, a changed token, an expired one, and none."""
    token = rooms.api.generate(session_id, format=JANUS).token
    other = rooms.api.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    elsewhere = rooms.api.generate(rooms.api.new_session(other, name="standup").session_id, format=JANUS).token
    expired = _signed_by(rooms.secret, "1700000000," + token.partition(":")[0].partition(",")[2])
    refused = {
        "another room": ("lunch", token),
        "another project": ("standup", elsewhere),
        "changed": ("lunch", token.replace("room=standup", "room=lunch")),
        "expired": ("standup", expired),
        "none": ("standup", ""),
    }

    for case, (room, presented) in refused.items():
        with pytest.raises(RefusedError) as caught:
            await rooms.janus.join(room, presented)
        assert WRONG_TOKEN == caught.value.code, case
    assert "EXPIRED" == reason_of(rooms.api.verify(expired))


async def test_a_token_for_a_room_opens_no_api(rooms: RoomWorld, session_id: str) -> None:
    """It is of another realm."""
    token = rooms.api.generate(session_id, format=JANUS).token

    with pytest.raises(RefusedError, match="403"):
        async with rooms.janus.attached(token):
            pass


async def test_a_revoked_token_is_refused_by_the_authority_alone(rooms: RoomWorld, session_id: str) -> None:
    """Janus knows of no revocation."""
    token = rooms.api.generate(session_id, format=JANUS, subject="mallory").token

    request = token_pb2.RevokeTokensRequest(project_id=rooms.project_id, subject="mallory")
    rooms.api.tokens.RevokeTokens(request)

    assert "REVOKED" == reason_of(rooms.api.verify(token))
    assert "standup" == (await rooms.janus.join("standup", token)).room


def _signed_by(secret: str, text: str) -> str:
    mac = hmac.digest(secret.encode(), text.encode(), hashlib.sha1)
    return f"{text}:{base64.b64encode(mac).decode()}"
