"""The claims that say what a role may do on a server."""

from __future__ import annotations

import itertools

from collections.abc import Mapping

import jwt
import pytest

from hypothesis import given as given_example
from hypothesis import strategies as st

from tests.signing.builders import claims, make_claims, make_token, payload_of, verify
from tokenauthority.domain.profile import CENTRIFUGO, JANUS, JITSI, LIVEKIT, MEDIAMTX, Flag, RealTimeServer, Table
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.rights import rights_claims, with_claim


FORMAT = TokenFormat.SESSION_JWT
EVERY_SET = [found for n in range(len(Permission) + 1) for found in itertools.combinations(Permission, n)]


def given(table: Table, written: Mapping[str, object], room: str) -> set[Permission]:
    """What a server reads in claims: the control of what is written, by what is there alone."""
    found = set(table.implied)
    for row in table.rights:
        value: object = written
        for name in row.path:
            assert isinstance(value, Mapping)
            value = value[name]
        if isinstance(row, Flag):
            assert isinstance(value, bool)
            found |= row.permissions if value else set()
        else:
            assert isinstance(value, list)
            wanted = room if isinstance(row.member, str) else {**row.member, "path": room}
            found |= row.permissions if wanted in value else set()
    return found


@pytest.mark.parametrize("table", [LIVEKIT, JITSI, JANUS, CENTRIFUGO, MEDIAMTX], ids=lambda table: table.server)
@pytest.mark.parametrize("permissions", EVERY_SET, ids=lambda found: "+".join(found) or "none")
def test_no_claim_gives_what_the_role_lacks(table: Table, permissions: tuple[Permission, ...]) -> None:
    """Whatever the role: less at the most, where it does not fit."""
    read = given(table, rights_claims(table, permissions, "room"), "room")

    assert read - table.implied <= set(permissions)
    assert table.misfit(permissions) or read == set(permissions) - table.unknown


@pytest.mark.parametrize(
    ("role", "channels", "actions"),
    [
        ("publisher", ["room"], ["read", "publish"]),
        ("moderator", ["room"], ["read", "publish"]),
        ("publisheronly", [], ["publish"]),
        ("subscriber", [], ["read"]),
    ],
)
def test_a_session_jwt_says_it_to_each_server(role: str, channels: list[str], actions: list[str]) -> None:
    """Centrifugo's channels, and what MediaMTX allows on the path of the session alone."""
    said = make_claims(
        FORMAT,
        session_id="room",
        role=role,
        permissions=BUILT_IN_ROLES[role].permissions,
    )

    token = make_token(FORMAT, said, claims_for=tuple(RealTimeServer)).token

    payload = jwt.decode(token, options={"verify_signature": False})
    assert channels == payload["channels"]
    assert [{"action": action, "path": "room"} for action in actions] == payload["mediamtx_permissions"]
    assert said.permissions == verify(token).claims.permissions


@given_example(data=st.data(), servers=st.sets(st.sampled_from(RealTimeServer), min_size=1))
def test_claims_for_servers_change_nothing_else(data: st.DataObject, servers: set[RealTimeServer]) -> None:
    """Session, role, permissions, data and subject are read as they were said."""
    said = data.draw(claims(FORMAT))

    read = verify(make_token(FORMAT, said, claims_for=tuple(sorted(servers))).token).claims

    assert said == read


def test_a_session_jwt_without_servers_has_no_further_claim() -> None:
    """As before there were any."""
    assert not {"channels", "mediamtx_permissions"} & payload_of(FORMAT).keys()


def test_a_claim_is_added_beside_others() -> None:
    """And to a copy."""
    before: dict[str, object] = {"a": {"b": 1}}

    after = with_claim(before, ("a", "c"), 2)

    assert ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == (before, after)
