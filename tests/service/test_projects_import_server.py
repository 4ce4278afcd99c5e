"""ImportProject of an API key of LiveKit or an app of Jitsi: its tokens are those of that server."""

from __future__ import annotations

import secrets

from functools import partial
from typing import Any

import grpc
import jwt
import pytest

from livekit import api as livekit

from tests.service.api import Api, Connect, failure, reason_of
from tests.service.conftest import FOUNDED
from tests.support.authority import RunningAuthority
from tokenauthority.v1 import project_pb2, token_pb2


LIVEKIT, JITSI = token_pb2.TOKEN_FORMAT_LIVEKIT_JWT, token_pb2.TOKEN_FORMAT_JITSI_JWT
SECRET = "kZ3s-Vb_7qPp0aXwR5tYu9LmNcDeFgHiJkLmNoPqRsT"


def new_key() -> str:
    """An API key that no other test has."""
    return f"API{secrets.token_hex(6)}"


def import_livekit(api: Api, api_key: str, secret: str = SECRET, **fields: Any) -> project_pb2.Project:
    """A project of an API key."""
    credential = project_pb2.LiveKitCredential(api_key=api_key, api_secret=secret)
    return api.projects.ImportProject(project_pb2.ImportProjectRequest(livekit=credential, **fields)).project


def token_of_sdk(key: str, secret: str, room: str) -> str:
    """What LiveKit's SDK makes with the key."""
    grants = livekit.VideoGrants(room_join=True, room=room)
    return livekit.AccessToken(key, secret).with_identity("alice").with_grants(grants).to_jwt()


def import_jitsi(api: Api, app_id: str, secret: str = SECRET, **fields: Any) -> project_pb2.Project:
    """A project of an app."""
    credential = project_pb2.JitsiCredential(app_id=app_id, app_secret=secret)
    return api.projects.ImportProject(project_pb2.ImportProjectRequest(jitsi=credential, **fields)).project


IMPORTS = pytest.mark.parametrize(
    ("import_", "token_format"), [(import_livekit, LIVEKIT), (import_jitsi, JITSI)], ids=["LiveKit", "Jitsi"]
)


@IMPORTS
def test_tokens_are_signed_with_the_servers_own_key(api: Api, import_: Any, token_format: Any) -> None:
    """In its format by default; the session is made here."""
    key = new_key()
    project = import_(api, key)
    session_id = api.new_session(project.project_id).session_id

    token = api.generate(session_id)

    said = jwt.decode(token.token, SECRET, ["HS256"], issuer=key, audience=project.project_id)
    assert (token_format, key, key) == (token.format, token.key_id, said["iss"])
    assert (token_format, False) == (project.default_format, project.external_sessions)
    assert [(key, "")] == [(secret.secret_id, secret.secret) for secret in project.secrets]
    assert "ACTIVE" == reason_of(api.verify(token.token, session_id=session_id))


def test_tokens_of_the_sdk_are_valid(api: Api) -> None:
    """They name the API key alone."""
    key = new_key()
    session_id = api.new_session(import_livekit(api, key).project_id).session_id

    token = token_of_sdk(key, SECRET, session_id)

    assert ("ACTIVE", "alice") == (reason_of(api.verify(token)), api.verify(token).claims.subject)


@IMPORTS
def test_a_key_is_imported_once(connect: Connect, import_: Any, token_format: Any) -> None:
    """Also by a caller who may not see the first project; the answer does not name it."""
    key = new_key()
    first = import_(connect(), key)

    failed = failure(lambda: import_(connect("founder"), key, project_id=FOUNDED))

    assert (grpc.StatusCode.ALREADY_EXISTS, "PROJECT_EXISTS") == failed.outcome
    assert first.project_id not in repr(failed)


def test_a_wrong_import_is_undone_by_a_rotation(api: Api) -> None:
    """The new secret signs, and the imported one can be retired. Its key is then free for another project."""
    key = new_key()
    project_id = import_livekit(api, key).project_id
    session_id = api.new_session(project_id).session_id
    old = api.generate(session_id)
    assert "ACTIVE" == reason_of(api.verify(token_of_sdk(key, SECRET, session_id)))
    secret = api.projects.RotateProjectSecret(project_pb2.RotateProjectSecretRequest(project_id=project_id)).secret
    request = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=key)
    left = api.projects.RetireProjectSecret(request).project

    assert [secret.secret_id] == [each.secret_id for each in left.secrets]
    assert ("KEY_UNKNOWN", "ACTIVE") == (
        reason_of(api.verify(old.token)),
        reason_of(api.verify(api.generate(session_id).token)),
    )
    other = import_livekit(api, key, "b" * 32)
    token = token_of_sdk(key, "b" * 32, api.new_session(other.project_id).session_id)
    assert ("ACTIVE", other.project_id) == (reason_of(api.verify(token)), api.verify(token).claims.project_id)


@pytest.mark.parametrize(
    "key", ["", "x" * 65, "a b", "caf\u00e9", "47000001", "78d335fa-323d-0114-9c3d-d6f0d48968cf", "sec_1", "a\n"]
)
def test_a_key_that_means_something_else_is_refused(api: Api, key: str) -> None:
    """A token names its project by the id of the project, its application or its secret."""
    failures = [failure(partial(call, api, key)) for call in (import_livekit, import_jitsi)]

    assert [["livekit.api_key"], ["jitsi.app_id"]] == [failed.fields for failed in failures]


@pytest.mark.parametrize("secret", ["", "a" * 31, "a" * 256, "a b" * 20, "\u00e9\u0161" * 20, "ssh-rsa" + "a" * 40])
def test_a_secret_that_is_none_is_refused_and_not_shown(api: Api, shared: RunningAuthority, secret: str) -> None:
    """HS256 needs 32 bytes."""
    failures = [failure(partial(call, api, new_key(), secret)) for call in (import_livekit, import_jitsi)]

    assert [["livekit.api_secret"], ["jitsi.app_secret"]] == [failed.fields for failed in failures]
    assert not secret or secret not in repr(failures) + shared.audit_path.read_text()


def test_an_import_without_a_source_names_all_four(api: Api) -> None:
    """None is preferred."""
    failed = failure(lambda: api.projects.ImportProject(project_pb2.ImportProjectRequest()))

    assert [("credential", "is required: opentok, vonage, livekit or jitsi")] == failed.violations


def test_the_grant_names_the_project(connect: Connect) -> None:
    """Without an id, the caller must be allowed all projects."""
    failed = failure(lambda: import_livekit(connect("home"), new_key()))

    assert "PROJECT_NOT_GRANTED" == failed.reason
