"""Servers that no package brings: their rules take our tokens, for the right room and role alone."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.server_rules import RefusedError, centrifugo, jitsi, mediamtx
from tests.signing.builders import (
    ISSUER,
    NOW,
    OLD_SECRET,
    PROJECT,
    SECRET,
    SESSION,
    TABLE_FORMATS,
    make_claims,
    make_token,
    ring,
)
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.project_keys import ProjectSecret


VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "server_tokens.json").read_text(encoding="utf-8")
)
SIGNER = ProjectSecret(VECTORS["secret_id"], VECTORS["secret"])
JITSI = TokenFormat.JITSI_JWT


def of_jitsi(role: str = "publisher", room: str = "", **changes: Any) -> str:
    """A token for Jitsi."""
    said = make_claims(JITSI, role=role, permissions=BUILT_IN_ROLES[role].permissions, **changes)
    return make_token(JITSI, said, room=room).token


def of_session(role: str, room: str = "") -> str:
    """A SESSION_JWT with claims for every server."""
    said = make_claims(
        TokenFormat.SESSION_JWT,
        role=role,
        permissions=BUILT_IN_ROLES[role].permissions,
        expire_time=Seconds(2**33),
        subject="alice",
    )
    return make_token(TokenFormat.SESSION_JWT, said, room=room, claims_for=tuple(RealTimeServer)).token


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: f"{vector['format']}-{vector['role']}")
def test_our_tokens_stay_as_they_are_byte_for_byte(vector: dict[str, Any]) -> None:
    """HS256 is deterministic. Another implementation can be held to the same file."""
    token_format = TokenFormat(vector["format"])
    said = make_claims(
        token_format,
        role=vector["role"],
        permissions=BUILT_IN_ROLES[vector["role"]].permissions,
        data=vector["data"],
    )

    assert vector["token"] == make_token(token_format, said, key=SIGNER, room=vector["room"]).token


def test_the_vectors_have_each_role_that_fits() -> None:
    """For each server with a format of its own."""
    fitting = {
        (each.value, name)
        for each in TABLE_FORMATS
        for name, role in BUILT_IN_ROLES.items()
        if each.traits.table is not None and not each.traits.table.misfit(role.permissions)
    }

    assert fitting == {(vector["format"], vector["role"]) for vector in VECTORS["vectors"]}


@pytest.mark.parametrize(("role", "moderates"), [("publisher", False), ("moderator", True)])
def test_jitsi_takes_our_token(role: str, moderates: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """In its room, in any case, and with the right of the role."""
    token = of_jitsi(role, room="standup")

    assert {"id": "alice", "moderator": moderates} == jitsi(token, SECRET.key_id, SECRET.value, "StandUp", NOW)
    assert jitsi(of_jitsi(role), SECRET.key_id, SECRET.value, SESSION, NOW)


@pytest.mark.parametrize(
    ("secret", "room", "now"),
    [
        (OLD_SECRET, "standup", NOW),
        (SECRET, "lunch", NOW),
        (SECRET, "standup", NOW + 3600),
        (SECRET, "standup", NOW - 1),
    ],
    ids=["another secret", "another room", "expired", "not yet valid"],
)
def test_jitsi_refuses_our_token_elsewhere(secret: ProjectSecret, room: str, now: int) -> None:
    """The control: its rules do refuse."""
    with pytest.raises(RefusedError):
        jitsi(of_jitsi(room="standup"), secret.key_id, secret.value, room, now)


@pytest.mark.parametrize("room", ["", "standup"])
@pytest.mark.parametrize("role", BUILT_IN_ROLES)
def test_mediamtx_allows_what_the_role_does(role: str, room: str) -> None:
    """On the path of the session alone."""
    token, key, path = of_session(role, room), ring().active.public_key, room or SESSION

    allowed = set()
    for action in ("read", "publish", "playback", "api"):
        for place in (path, path + "x", "", "all"):
            try:
                mediamtx(token, key, ISSUER, PROJECT, action=action, path=place)
            except RefusedError:
                continue
            allowed.add((action, place))

    permissions = BUILT_IN_ROLES[role].permissions
    names = {"subscribe": "read", "publish": "publish"}
    assert {(action, path) for permission, action in names.items() if permission in permissions} == allowed


@pytest.mark.parametrize("room", ["", "standup"])
@pytest.mark.parametrize("role", ["publisher", "publisheronly", "moderator"])
def test_centrifugo_subscribes_who_may(role: str, room: str) -> None:
    """To the channel of the session, as the subject."""
    found = centrifugo(of_session(role, room), ring().active.public_key, ISSUER, PROJECT)

    assert ("alice", [] if role == "publisheronly" else [room or SESSION]) == found
