"""The formats that are written by a table: what their servers read, and what is none of theirs."""

from __future__ import annotations

from typing import Any

import jwt
import msgspec
import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.signing.builders import (
    FOREIGN_SECRET,
    KEYS,
    NOW,
    OLD_SECRET,
    PROJECT,
    SECRET,
    TABLE_FORMATS,
    claims,
    forge,
    header_of,
    make_claims,
    make_token,
    payload_of,
    rejection,
    verify,
)
from tokenauthority.domain.profile import Profile
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.times import MAX_TTL, Seconds
from tokenauthority.domain.token import InactiveReason
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.table import table_codec


LIVEKIT, JITSI = TokenFormat.LIVEKIT_JWT, TokenFormat.JITSI_JWT
SUBSCRIBER, PUBLISHER, MODERATOR = (
    BUILT_IN_ROLES[name].permissions for name in ("subscriber", "publisher", "moderator")
)

each_table = pytest.mark.parametrize("token_format", TABLE_FORMATS)


def livekit(**changes: Any) -> str:
    """A token for LiveKit whose grant has *changes*, as SDKs write it: no `role`; None takes a claim away."""
    payload = payload_of(LIVEKIT, role=None)
    grant = {name: value for name, value in {**payload["video"], **changes}.items() if value is not None}
    return forge(LIVEKIT, payload={**payload, "video": grant})


def permissions_of(token: str) -> tuple[Permission, ...]:
    """What the bearer of a token may do."""
    return verify(token).claims.permissions


@each_table
@given(data=st.data())
def test_what_is_written_gives_just_what_the_role_has(token_format: TokenFormat, data: st.DataObject) -> None:
    """For every role that fits: the same session, role, permissions, data and subject."""
    said = data.draw(claims(token_format))

    read = verify(make_token(token_format, said).token).claims

    names = ("session_id", "role", "permissions", "data", "subject", "issue_time", "expire_time", "project_id")
    assert [getattr(said, name) for name in names] == [getattr(read, name) for name in names]


@each_table
def test_every_flag_is_written(token_format: TokenFormat) -> None:
    """Whatever the role lacks is written as false: LiveKit reads an absent one as yes."""
    profile = token_format.traits.table
    assert isinstance(profile, Profile)
    smallest = [row.path for row in profile.rights]
    said = make_claims(token_format, role="own", permissions=tuple(profile.implied))

    payload = payload_of_token(make_token(token_format, said).token)

    for path in smallest:
        value: Any = payload
        for name in path:
            value = value[name]
        assert value is False


def payload_of_token(token: str) -> dict[str, Any]:
    """The payload of a token, unverified."""
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def test_livekits_claims_are_these() -> None:
    """`iss` and `kid` are the secret's id, which is LiveKit's API key, and `nbf` is `iat`."""
    said = make_claims(LIVEKIT, data="a=b", session_id="room")

    token = make_token(LIVEKIT, said).token

    assert {
        "iss": SECRET.key_id,
        "aud": PROJECT,
        "sub": "alice",
        "jti": "a1b2c3",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
        "role": "publisher",
        "metadata": "a=b",
        "video": {
            "roomJoin": True,
            "room": "room",
            "canSubscribe": True,
            "canPublish": True,
            "canPublishData": True,
            "roomAdmin": False,
        },
    } == payload_of_token(token)
    assert {"alg": "HS256", "typ": "JWT", "kid": SECRET.key_id} == header_of(LIVEKIT)


def test_jitsis_claims_are_these() -> None:
    """`aud` is a text and `typ` is JWT, as Prosody's plugin wants them."""
    said = make_claims(JITSI, data="a=b", role="moderator", permissions=MODERATOR, session_id="room")

    token = make_token(JITSI, said).token

    assert {
        "iss": SECRET.key_id,
        "aud": PROJECT,
        "sub": "*",
        "room": "room",
        "jti": "a1b2c3",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
        "role": "moderator",
        "context": {"user": {"id": "alice", "data": "a=b", "moderator": True}},
    } == payload_of_token(token)
    assert "JWT" == header_of(JITSI)["typ"]


@pytest.mark.parametrize(
    ("changes", "permissions"),
    [
        ({"canSubscribe": None, "canPublish": None, "canPublishData": None, "roomAdmin": None}, PUBLISHER),
        ({"canPublish": False, "canPublishData": None}, SUBSCRIBER),
        ({"canPublish": None, "canPublishData": False}, (Permission.SUBSCRIBE, Permission.PUBLISH)),
        ({"canSubscribe": False, "canPublish": True, "canPublishData": False}, (Permission.PUBLISH,)),
        ({"canPublishSources": []}, PUBLISHER),
        ({"canPublishSources": ["camera"]}, (Permission.SUBSCRIBE, Permission.SIGNAL)),
        ({"roomAdmin": True}, MODERATOR),
    ],
)
def test_livekits_flags_are_read_as_livekit_does(changes: dict[str, Any], permissions: tuple[Permission, ...]) -> None:
    """Absent means yes, but for `canPublishData`, which is then `canPublish`, and `roomAdmin`."""
    assert permissions == permissions_of(livekit(**changes))


def test_null_is_read_as_absent() -> None:
    """So do Go's parser and Lua's."""
    payload = payload_of(LIVEKIT, role=None)
    video = {**payload["video"], "canPublish": None, "roomAdmin": None}

    assert PUBLISHER == permissions_of(forge(LIVEKIT, payload={**payload, "video": video}))


@pytest.mark.parametrize(
    "changes",
    [
        {"roomJoin": None},
        {"roomJoin": False},
        {"roomJoin": 1},
        {"room": None},
        {"room": ""},
        {"room": 7},
        {"room": "x" * 256},
        {"canPublish": "false"},
        {"canPublish": 0},
        {"CANPUBLISH": False},
        {"roomadmin": True},
        {"canPubli\u017fh": False},
    ],
)
def test_a_grant_that_lets_nobody_in_or_has_two_readings_is_malformed(changes: dict[str, Any]) -> None:
    """Go's parser takes names that differ in case for one, so `CANPUBLISH` would decide there and not here."""
    assert InactiveReason.MALFORMED is rejection(verify, livekit(**changes))


def jitsi(**user: Any) -> str:
    """A token for Jitsi as other programs write it: no `role`, and *user* is the end user."""
    return forge(JITSI, payload={**payload_of(JITSI, role=None), "context": {"user": user}})


@pytest.mark.parametrize(
    ("user", "permissions"),
    [
        *(({"affiliation": word}, MODERATOR) for word in ("owner", "moderator", "teacher")),
        *(({"affiliation": word}, PUBLISHER) for word in ("member", "Owner", "", None)),
        ({"affiliation": "owner", "moderator": True}, MODERATOR),
        ({"affiliation": "owner", "moderator": None}, MODERATOR),
        ({"affiliation": None, "moderator": True}, MODERATOR),
        ({"affiliation": "member", "moderator": False}, PUBLISHER),
    ],
)
def test_jitsis_affiliation_is_read_as_jitsi_does(user: dict[str, Any], permissions: tuple[Permission, ...]) -> None:
    """Its token_affiliation makes an owner of the room, who is a moderator, by three words."""
    assert permissions == permissions_of(jitsi(**user))


@pytest.mark.parametrize(
    "user",
    [
        {"affiliation": "owner", "moderator": False},
        {"affiliation": "member", "moderator": True},
        {"affiliation": "owner", "moderator": 1},
        {"affiliation": "owner", "moderator": "true"},
        {"affiliation": True},
        {"affiliation": ["owner"]},
        {"Affiliation": "owner"},
    ],
)
def test_an_affiliation_that_has_two_readings_is_malformed(user: dict[str, Any]) -> None:
    """Versions of token_affiliation differ on whom a contradiction makes a moderator."""
    assert InactiveReason.MALFORMED is rejection(verify, jitsi(**user))


@pytest.mark.parametrize("token_format", TABLE_FORMATS)
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ""},
        {"iss": 7},
        {"iss": "sec_\0"},
        {"exp": "soon"},
        {"jti": ""},
        {"jti": "x" * 256},
        {"role": "Moderator"},
        {"role": "moderator"},
        {"EXP": 1},
    ],
)
def test_claims_of_another_shape_are_malformed(token_format: TokenFormat, changes: dict[str, Any]) -> None:
    """A built-in role must have its rights: a publisher that calls itself moderator has two readings."""
    assert InactiveReason.MALFORMED is rejection(
        verify, forge(token_format, payload=payload_of(token_format, **changes))
    )


@each_table
@pytest.mark.parametrize("name", ["iss", "exp"])
def test_a_token_without_secret_or_expiry_is_malformed(token_format: TokenFormat, name: str) -> None:
    """LiveKit and Jitsi would take one without `exp` for ever."""
    token = forge(token_format, payload=payload_of(token_format, **{name: None}))

    assert InactiveReason.MALFORMED is rejection(verify, token)


def test_a_token_for_livekit_needs_a_subject() -> None:
    """As LiveKit does: `jti` where there is no `sub`, and nothing if there is neither."""
    named = forge(LIVEKIT, payload=payload_of(LIVEKIT, sub=None))
    unnamed = forge(LIVEKIT, payload=payload_of(LIVEKIT, sub=None, jti=None))

    assert ("a1b2c3", "a1b2c3") == (verify(named).claims.subject, verify(named).claims.token_id)
    assert InactiveReason.MALFORMED is rejection(verify, unnamed)


@each_table
def test_without_an_id_the_signature_is_the_id(token_format: TokenFormat) -> None:
    """LiveKit's own SDKs write no `jti`."""
    token = forge(token_format, payload=payload_of(token_format, jti=None))

    assert 64 == len(verify(token).claims.token_id)


@each_table
def test_the_time_of_issue_is_the_latest_that_the_token_proves(token_format: TokenFormat) -> None:
    """`iat`, else `nbf`; a token with neither is as old as it can be, so that every revocation covers it."""
    payload = payload_of(token_format, iat=None)
    bare = payload_of(token_format, iat=None, nbf=None)

    assert NOW == verify(forge(token_format, payload=payload)).claims.issue_time
    assert NOW + 3600 - MAX_TTL == verify(forge(token_format, payload=bare)).claims.issue_time


@each_table
@pytest.mark.parametrize(("permissions", "role"), [(PUBLISHER, "publisher"), (MODERATOR, "moderator")])
def test_a_role_that_is_not_said_is_found_by_its_rights(
    token_format: TokenFormat, permissions: tuple[Permission, ...], role: str
) -> None:
    """No SDK writes `role`."""
    said = make_claims(token_format, role=role, permissions=permissions)
    payload = payload_of_token(make_token(token_format, said).token)
    del payload["role"]

    assert role == verify(forge(token_format, payload=payload)).claims.role


def test_rights_of_no_built_in_role_have_no_name() -> None:
    """The permissions say what the bearer may do."""
    assert "" == verify(livekit(canSubscribe=False)).claims.role


@each_table
def test_only_the_secret_that_iss_names_is_tried(token_format: TokenFormat) -> None:
    """A live secret that is not named, one of another project, and one that is retired."""
    crossed = forge(token_format, payload=payload_of(token_format, iss=OLD_SECRET.key_id))
    foreign = make_token(token_format, key=FOREIGN_SECRET).token
    elsewhere = forge(token_format, payload=payload_of(token_format, aud="1"))

    assert OLD_SECRET.key_id == verify(make_token(token_format, key=OLD_SECRET).token).key_id
    assert InactiveReason.SIGNATURE_INVALID is rejection(verify, crossed)
    assert InactiveReason.KEY_UNKNOWN is rejection(verify, foreign)
    assert InactiveReason.KEY_UNKNOWN is rejection(verify, elsewhere)


@each_table
@pytest.mark.parametrize("audience", [None, "jitsi", ["a"], 7])
def test_an_audience_that_is_no_project_says_nothing(token_format: TokenFormat, audience: object) -> None:
    """The SDKs write none, and Jitsi's is what its operator chose; `iss` names the secret, and so the project."""
    read = verify(forge(token_format, payload=payload_of(token_format, aud=audience)), KEYS).claims

    assert ("", SECRET.key_id, SECRET.key_id) == (read.project_id, read.issuer, read.owner)


def test_a_token_of_two_servers_is_none() -> None:
    """With the claims of both there would be two readings."""
    payload = {**payload_of(JITSI), **payload_of(LIVEKIT)}

    assert InactiveReason.MALFORMED is rejection(verify, forge(LIVEKIT, payload=payload))


@pytest.mark.parametrize("claim", [{"video": {}}, {"room": "x"}])
def test_further_claims_of_an_opentok_token_are_ignored(claim: dict[str, Any]) -> None:
    """It is known by `ist`, whatever else it says."""
    token = forge(TokenFormat.OPENTOK_JWT, payload=payload_of(TokenFormat.OPENTOK_JWT, **claim))

    assert "publisher" == verify(token).claims.role


def test_only_a_format_with_a_profile_has_a_table() -> None:
    """Every other one has a codec of its own."""
    with pytest.raises(TypeError):
        table_codec(TokenFormat.OPENTOK_T1)


def test_what_is_cached_is_not_shared() -> None:
    """Two tokens of one role and room: each has its own subject and data."""
    said = make_claims(JITSI, data="one")
    other = msgspec.structs.replace(said, subject="bob", data="", expire_time=Seconds(NOW + 60))

    tokens = [make_token(JITSI, each).token for each in (said, other, said)]

    assert [said, other, said] == [verify(token).claims for token in tokens]
