"""A real LiveKit takes our tokens, and gives their bearers just the rights of their roles."""

from __future__ import annotations

import secrets

from pathlib import Path
from typing import Any

import jwt
import pytest

from livekit.protocol.models import ParticipantPermission

from media import livekit
from media.conftest import World
from media.livekit import RefusedError
from tests.service.api import reason_of
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.v1 import project_pb2, role_pb2, token_pb2


LIVEKIT = token_pb2.TOKEN_FORMAT_LIVEKIT_JWT
OWN = {"listener": ("subscribe", "signal"), "speaker": ("publish", "signal")}
ROLES = {name: set(role.permissions) for name, role in BUILT_IN_ROLES.items()} | {
    name: set(map(Permission, permissions)) for name, permissions in OWN.items()
}


@pytest.fixture(scope="module", autouse=True)
def _own_roles(world: World) -> None:
    for name, permissions in OWN.items():
        values = [role_pb2.Permission.Value(f"PERMISSION_{each.upper()}") for each in permissions]
        request = role_pb2.CreateRoleRequest(project_id=world.project_id, name=name, permissions=values)
        world.api.roles.CreateRole(request)


@pytest.fixture
def session_id(world: World) -> str:
    """A session of the project."""
    return world.api.new_session(world.project_id).session_id


@pytest.mark.parametrize("role", ROLES)
def test_a_person_has_just_the_rights_of_the_role(world: World, session_id: str, role: str) -> None:
    """In the session, under the subject, with the data."""
    token = world.api.generate(session_id, role=role, format=LIVEKIT, subject="alice", data="a=b é")

    joined = world.livekit.join(token.token)

    # All that LiveKit knows: whoever is not named here, such as a recorder or one who is hidden, is not that.
    just = ParticipantPermission(
        can_subscribe=Permission.SUBSCRIBE in ROLES[role],
        can_publish=Permission.PUBLISH in ROLES[role],
        can_publish_data=Permission.SIGNAL in ROLES[role],
    )
    assert (session_id, "alice", "a=b é") == (joined.room, joined.identity, joined.metadata)
    assert just == joined.permission
    assert (Permission.FORCE_DISCONNECT in ROLES[role]) == world.livekit.may_moderate(token.token, session_id)


def test_a_moderator_has_no_rights_in_another_room(world: World, session_id: str) -> None:
    """A token is for the room that it names, at LiveKit and here."""
    other = world.api.new_session(world.project_id).session_id
    token = world.api.generate(session_id, role="moderator", format=LIVEKIT).token

    assert not world.livekit.may_moderate(token, other)
    assert "SESSION_MISMATCH" == reason_of(world.api.verify(token, session_id=other))


def test_a_person_without_a_subject_has_the_id_of_the_token(world: World, session_id: str) -> None:
    """LiveKit lets nobody in without an identity."""
    token = world.api.generate(session_id, format=LIVEKIT)

    assert token.token_id == world.livekit.join(token.token).identity


def test_the_name_of_a_session_is_its_room(world: World) -> None:
    """People read it there."""
    session_id = world.api.new_session(world.project_id, name="standup").session_id

    joined = world.livekit.join(world.api.generate(session_id, format=LIVEKIT).token)

    assert "standup" == joined.room
    assert session_id == world.api.verify(joined.copy).claims.session_id


@pytest.mark.parametrize("role", ROLES)
def test_the_copy_that_livekit_sends_is_valid(world: World, session_id: str, role: str) -> None:
    """With the rights, the subject and the data of the token, and not after that is revoked."""
    token = world.api.generate(session_id, role=role, format=LIVEKIT, data="a=b")
    copy = world.livekit.join(token.token).copy

    verdict = world.api.verify(copy, session_id=session_id)

    assert "ACTIVE" == reason_of(verdict), verdict.reason_detail
    said = world.api.verify(token.token).claims
    assert (said.subject, said.data, list(said.permissions)) == (
        verdict.claims.subject,
        verdict.claims.data,
        list(verdict.claims.permissions),
    )
    world.api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=token.token))
    assert "REVOKED" == reason_of(world.api.verify(copy))


def test_both_secrets_are_keys_of_livekit(world: World, session_id: str) -> None:
    """A token of the older one is taken, too."""
    said = _said(world, session_id)
    older, newer = world.secrets

    token = _signed({**said, "iss": older.secret_id, "sub": "bob"}, older.secret)

    assert newer.secret_id == said["iss"]
    assert "bob" == world.livekit.join(token).identity


def test_an_api_key_that_livekit_has_already_is_imported(world: World, tmp_path: Path) -> None:
    """Its project makes tokens with it, and its copies of them are valid. Each project has a LiveKit of its own."""
    secret = secrets.token_urlsafe(32)
    credential = project_pb2.LiveKitCredential(api_key="APIinuse", api_secret=secret)
    request = project_pb2.ImportProjectRequest(livekit=credential)
    project_id = world.api.projects.ImportProject(request).project.project_id
    session_id = world.api.new_session(project_id, name="imported").session_id
    token = world.api.generate(session_id, subject="alice")

    with livekit.running(tmp_path, {"APIinuse": secret}) as server:
        joined = server.join(token.token)

    assert ("APIinuse", LIVEKIT) == (token.key_id, token.format)
    assert ("imported", "alice") == (joined.room, joined.identity)
    assert session_id == world.api.verify(joined.copy, session_id=session_id).claims.session_id


def test_a_token_with_another_secret_is_refused(world: World, session_id: str) -> None:
    """Although it names a key that LiveKit has."""
    token = _signed(_said(world, session_id), "f" * 40)

    with pytest.raises(RefusedError, match="401"):
        world.livekit.join(token)
    assert "SIGNATURE_INVALID" == reason_of(world.api.verify(token))


def test_an_expired_token_is_refused(world: World, session_id: str) -> None:
    """By both, once the 60 seconds that LiveKit allows are over."""
    said = _said(world, session_id)
    age = 61 + said["exp"] - said["iat"]
    past = {name: said[name] - age for name in ("iat", "nbf", "exp")}
    token = _signed({**said, **past}, world.secrets[1].secret)

    with pytest.raises(RefusedError, match="401"):
        world.livekit.join(token)
    assert "EXPIRED" == reason_of(world.api.verify(token))


def test_a_revoked_token_is_refused_by_the_authority_alone(world: World, session_id: str) -> None:
    """LiveKit knows of no revocation: who must be kept out has to be verified, or removed."""
    token = world.api.generate(session_id, format=LIVEKIT, subject="alice").token

    world.api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(token=token))

    assert "REVOKED" == reason_of(world.api.verify(token))
    assert "alice" == world.livekit.join(token).identity


def test_livekit_refuses_what_is_not_of_its_keys(world: World, session_id: str) -> None:
    """A token of another project, one for another server, and a changed one."""
    other = world.api.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    elsewhere = world.api.generate(world.api.new_session(other).session_id, format=LIVEKIT).token
    opentok = world.api.generate(session_id, format=token_pb2.TOKEN_FORMAT_OPENTOK_JWT).token
    changed = world.api.generate(session_id, format=LIVEKIT).token[:-4] + "AAAA"

    for token in (elsewhere, opentok, changed):
        with pytest.raises(RefusedError, match="401"):
            world.livekit.join(token)


def _said(world: World, session_id: str) -> dict[str, Any]:
    """The claims of a new token."""
    token = world.api.generate(session_id, format=LIVEKIT).token
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return said


def _signed(said: dict[str, Any], secret: str) -> str:
    return jwt.encode(said, secret, algorithm="HS256")
