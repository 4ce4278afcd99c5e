"""Tokens for real-time servers: made, refused, verified and revoked, whoever made them."""

from __future__ import annotations

import time

from typing import Any

import grpc
import jwt
import pytest

from livekit import api as livekit

from tests.service.api import PUBLISH, SIGNAL, SUBSCRIBE, Api, Connect, failure, reason_of, wanted
from tests.service.conftest import NOW, NOWHERE
from tests.support.authority import Clock
from tokenauthority.domain.times import Millis
from tokenauthority.v1 import project_pb2, role_pb2, token_pb2


SECOND = NOW // 1000
LIVEKIT, JITSI = token_pb2.TOKEN_FORMAT_LIVEKIT_JWT, token_pb2.TOKEN_FORMAT_JITSI_JWT
EVERY_FORMAT = pytest.mark.parametrize("token_format", [LIVEKIT, JITSI], ids=token_pb2.TokenFormat.Name)


def revoke(api: Api, **fields: Any) -> None:
    """Revoke tokens."""
    api.tokens.RevokeTokens(token_pb2.RevokeTokensRequest(**fields))


def new_role(api: Api, project_id: str, *permissions: role_pb2.Permission.ValueType) -> str:
    """A role of the project's own."""
    name = "own-" + "-".join(map(str, permissions))
    api.roles.CreateRole(role_pb2.CreateRoleRequest(project_id=project_id, name=name, permissions=permissions))
    return name


def sdk_token(created: project_pb2.CreateProjectResponse, session_id: str, identity: str = "alice") -> str:
    """What LiveKit's SDK makes with the project's secret, whose id is the API key."""
    grants = livekit.VideoGrants(room_join=True, room=session_id)
    token = livekit.AccessToken(created.secret.secret_id, created.secret.secret)
    return token.with_identity(identity).with_metadata("a=b").with_grants(grants).to_jwt()


def copy_of(token: token_pb2.Token, secret: str, **changes: Any) -> str:
    """What LiveKit makes of a token for whoever is in the room: no `aud`, no `jti`, and times of its own."""
    said = jwt.decode(token.token, options={"verify_signature": False})
    kept = {name: value for name, value in said.items() if name not in {"aud", "jti", "role"}}
    return jwt.encode({**kept, **changes}, secret, algorithm="HS256")


@EVERY_FORMAT
def test_a_token_says_what_was_put_in(
    api: Api, clock: Clock, created: project_pb2.CreateProjectResponse, session_id: str, token_format: Any
) -> None:
    """Every field of the claims, signed by the project's secret."""
    token = api.generate(session_id, format=token_format, data="é\n", subject="alice", ttl=60)

    verdict = api.verify(token.token, session_id=session_id, required=[PUBLISH])

    assert created.secret.secret_id == token.key_id
    claims = token_pb2.TokenClaims(
        token_id=token.token_id,
        session_id=session_id,
        project_id=created.project.project_id,
        role="publisher",
        permissions=[SUBSCRIBE, PUBLISH, SIGNAL],
        data="é\n",
        subject="alice",
        format=token_format,
        key_id=token.key_id,
        issue_time=token.issue_time,
        expire_time=token.expire_time,
    )
    assert token_pb2.VerifyTokenResponse(active=True, claims=claims) == verdict


def test_a_token_for_livekit_has_its_id_as_subject(api: Api, session_id: str) -> None:
    """LiveKit lets nobody in without an identity; Jitsi does."""
    tokens = [api.generate(session_id, format=each) for each in (LIVEKIT, JITSI)]

    assert [tokens[0].token_id, ""] == [api.verify(token.token).claims.subject for token in tokens]


def test_a_batch_mixes_formats_and_roles(api: Api, project_id: str, session_id: str) -> None:
    """Each token has the rights of its own role."""
    asked = [(LIVEKIT, "subscriber"), (JITSI, "moderator"), (LIVEKIT, "moderator"), (LIVEKIT, "publisheronly")]
    own = new_role(api, project_id, SUBSCRIBE, SIGNAL)

    tokens = api.batch([wanted(session_id, format=kind, role=role) for kind, role in (*asked, (LIVEKIT, own))])

    claims = [api.verify(token.token).claims for token in tokens]
    assert [*asked, (LIVEKIT, own)] == [(each.format, each.role) for each in claims]
    assert [[SUBSCRIBE], [PUBLISH], [SUBSCRIBE, SIGNAL]] == [list(claims[n].permissions) for n in (0, 3, 4)]


MISFITS = {
    JITSI: ([SUBSCRIBE], "does not fit JITSI_JWT: Jitsi gives publish, signal to everyone"),
    LIVEKIT: (
        [SUBSCRIBE, role_pb2.PERMISSION_FORCE_MUTE],
        "does not fit LIVEKIT_JWT: LiveKit cannot give force_mute without more",
    ),
}
"""Permissions that a server cannot keep a role to, and why."""


@EVERY_FORMAT
def test_a_role_is_never_rounded(api: Api, project_id: str, session_id: str, token_format: Any) -> None:
    """What the server cannot keep to exactly is INVALID_ARGUMENT; the violation names role and server."""
    permissions, problem = MISFITS[token_format]
    role = new_role(api, project_id, *permissions)

    failed = failure(lambda: api.generate(session_id, format=token_format, role=role))
    in_batch = failure(lambda: api.batch([wanted(session_id), wanted(session_id, format=token_format, role=role)]))

    assert grpc.StatusCode.INVALID_ARGUMENT is failed.code is in_batch.code
    assert [("request.role", f"{role} {problem}")] == failed.violations
    assert [("requests[1].role", f"{role} {problem}")] == in_batch.violations


@EVERY_FORMAT
def test_layout_classes_are_refused(api: Api, session_id: str, token_format: Any) -> None:
    """Neither server knows them."""
    failed = failure(
        lambda: api.generate(session_id, format=token_format, role="moderator", initial_layout_class_list=["a"])
    )

    assert ["request.initial_layout_class_list"] == failed.fields


def test_a_grant_names_the_formats(connect: Connect) -> None:
    """A caller that may make SESSION_JWT alone makes none for LiveKit."""
    native = connect("native")
    session = native.new_session("")

    failed = failure(lambda: native.generate(session.session_id, format=LIVEKIT))

    assert "FORMAT_NOT_GRANTED" == failed.reason


def test_livekits_sdk_makes_valid_tokens(api: Api, created: project_pb2.CreateProjectResponse, session_id: str) -> None:
    """They name the secret alone, by which the project is found."""
    token = sdk_token(created, session_id)

    verdict = api.verify(token, session_id=session_id, required=[PUBLISH])

    said = verdict.claims
    assert "ACTIVE" == reason_of(verdict), verdict.reason_detail
    assert (created.project.project_id, session_id, "publisher") == (said.project_id, said.session_id, said.role)
    assert ("alice", "a=b", created.secret.secret_id) == (said.subject, said.data, said.key_id)
    assert 64 == len(said.token_id)


def test_both_secrets_live_through_a_rotation(
    api: Api, created: project_pb2.CreateProjectResponse, session_id: str
) -> None:
    """The new one signs, LiveKit has both as API keys, and the old one's tokens end with it."""
    old = api.generate(session_id, format=LIVEKIT)
    request = project_pb2.RotateProjectSecretRequest(project_id=created.project.project_id)
    secret = api.projects.RotateProjectSecret(request).secret
    new = api.generate(session_id, format=LIVEKIT)
    before = [reason_of(api.verify(token.token)) for token in (old, new)]
    retired = project_pb2.RetireProjectSecretRequest(
        project_id=created.project.project_id, secret_id=created.secret.secret_id
    )
    api.projects.RetireProjectSecret(retired)

    assert secret.secret_id == new.key_id
    assert ["ACTIVE", "ACTIVE"] == before
    assert ["KEY_UNKNOWN", "ACTIVE"] == [reason_of(api.verify(token.token)) for token in (old, new)]


def test_nothing_outside_the_grant_is_found_by_a_secret(
    connect: Connect, created: project_pb2.CreateProjectResponse, session_id: str
) -> None:
    """The answer is the one for a secret that does not exist."""
    token = sdk_token(created, session_id)
    made_up = project_pb2.CreateProjectResponse()
    made_up.secret.secret_id, made_up.secret.secret = "sec_0123456789abcdef", "0" * 40

    verdicts = [connect("home").verify(each) for each in (token, sdk_token(made_up, session_id))]

    assert verdicts[0] == verdicts[1]
    assert "PROJECT_UNKNOWN" == reason_of(verdicts[0])


def test_a_token_of_another_projects_secret_joins_no_session(
    api: Api, session_id: str, created: project_pb2.CreateProjectResponse
) -> None:
    """A secret makes tokens for the sessions of its own project alone."""
    other = api.projects.CreateProject(project_pb2.CreateProjectRequest())

    assert "SESSION_MISMATCH" == reason_of(api.verify(sdk_token(other, session_id)))
    assert "SESSION_MISMATCH" == reason_of(api.verify(sdk_token(created, "no-such-room")))
    assert NOWHERE not in {other.project.project_id, created.project.project_id}


@EVERY_FORMAT
@pytest.mark.parametrize("target", ["token", "token_id", "session_id", "subject"])
def test_tokens_are_revoked_by_every_target(api: Api, session_id: str, token_format: Any, target: str) -> None:
    """Whatever names them."""
    token = api.generate(session_id, format=token_format, subject="alice")
    values = {"token": token.token, "token_id": token.token_id, "session_id": session_id, "subject": "alice"}
    named = {"project_id": token.project_id} if target in {"token_id", "subject"} else {}
    revoke(api, **{target: values[target], **named})

    assert "REVOKED" == reason_of(api.verify(token.token))


@pytest.mark.parametrize("target", ["token", "token_id", "session_id", "subject"])
def test_a_token_of_livekits_sdk_is_revoked(
    api: Api, created: project_pb2.CreateProjectResponse, session_id: str, target: str
) -> None:
    """It has no id, so its signature is the id."""
    token, kept = sdk_token(created, session_id), sdk_token(created, api.new_session("47000001").session_id, "bob")
    token_id = api.verify(token).claims.token_id
    values = {"token": token, "token_id": token_id, "session_id": session_id, "subject": "alice"}
    named = {"project_id": created.project.project_id} if target in {"token_id", "subject"} else {}
    revoke(api, **{target: values[target], **named})

    assert "REVOKED" == reason_of(api.verify(token))
    assert "REVOKED" != reason_of(api.verify(kept))


def test_livekits_own_copy_of_a_token_is_valid(
    api: Api, clock: Clock, created: project_pb2.CreateProjectResponse, session_id: str
) -> None:
    """LiveKit makes one every few minutes for everyone in a room."""
    token = api.generate(session_id, format=LIVEKIT, subject="alice")
    clock.fixed = Millis(NOW + 400_000)

    verdict = api.verify(copy_of(token, created.secret.secret, nbf=SECOND + 400, iat=SECOND + 400, exp=SECOND + 1000))

    assert "ACTIVE" == reason_of(verdict), verdict.reason_detail
    assert ("publisher", "alice") == (verdict.claims.role, verdict.claims.subject)


@pytest.mark.parametrize("target", ["session", "subject"])
def test_a_copy_made_after_a_revocation_by_session_or_subject_is_valid_until_the_session_ends(
    api: Api, clock: Clock, created: project_pb2.CreateProjectResponse, session_id: str, target: str
) -> None:
    """It was issued after the revocation, which says nothing of it."""
    token = api.generate(session_id, format=LIVEKIT, subject="alice")
    by_subject = {"subject": "alice", "project_id": created.project.project_id}
    revoke(api, **({"session_id": session_id} if target == "session" else by_subject))
    clock.fixed = Millis(NOW + 400_000)
    copy = copy_of(token, created.secret.secret, nbf=SECOND + 400, iat=SECOND + 400, exp=SECOND + 1000)

    before = [reason_of(api.verify(each)) for each in (token.token, copy)]
    api.end(session_id)

    assert (["REVOKED", "ACTIVE"], "SESSION_ENDED") == (before, reason_of(api.verify(copy)))


def test_a_copy_of_a_revoked_token_is_revoked(
    api: Api, clock: Clock, created: project_pb2.CreateProjectResponse, session_id: str
) -> None:
    """However late LiveKit makes it: its subject is the id of the token, unless the caller named a subject."""
    token, kept = (api.generate(session_id, format=LIVEKIT) for _ in range(2))
    revoke(api, token=token.token)
    clock.fixed = Millis(NOW + 4_000_000)
    times = {"nbf": SECOND + 4000, "iat": SECOND + 4000, "exp": SECOND + 4600}

    copies = [copy_of(each, created.secret.secret, **times) for each in (token, kept)]

    assert ["REVOKED", "ACTIVE"] == [reason_of(api.verify(copy)) for copy in copies]


def test_an_expired_token_of_livekits_sdk_is_expired(
    api: Api, created: project_pb2.CreateProjectResponse, session_id: str
) -> None:
    """LiveKit itself would take it for a minute more."""
    now = int(time.time())
    video = {"roomJoin": True, "room": session_id}
    said = {"iss": created.secret.secret_id, "sub": "alice", "nbf": now - 100, "exp": now - 40, "video": video}

    token = jwt.encode(said, created.secret.secret, algorithm="HS256")

    assert "EXPIRED" == reason_of(api.verify(token))
