"""Valid tokens, in parts that can be spoilt one by one before they are signed and written."""

from __future__ import annotations

import base64
import json

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus

import attrs

from tests.authority.world import ISSUER
from tests.fuzzing.target import (
    APPLICATION,
    APPLICATION_ID,
    ELSEWHERE,
    LIVE,
    OWN,
    PLATFORM,
    RING,
    SECOND,
    SECRETS,
    secret_id,
    sign_hs256,
    sign_rs256,
    sign_t1,
    sign_with,
)
from tokenauthority.domain.key import KeyState
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.signing_key import SigningKey


Member: TypeAlias = tuple[bytes, bytes]
"""A name and a value as they are written, which need be no JSON."""

Members: TypeAlias = list[Member]


@attrs.define
class Jwt:
    """A JWT before it is written: any members in any order and number, and what signs it."""

    header: Members
    payload: Members
    sign: Callable[[bytes], bytes]

    def write(self) -> str:
        """The token, signed."""
        signing_input = f"{segment(object_of(self.header))}.{segment(object_of(self.payload))}"
        return f"{signing_input}.{segment(self.sign(signing_input.encode()))}"


@attrs.define
class T1:
    """A T1 token before it is written: its outer and its signed fields, escaped, and the secret."""

    outer: Members
    fields: Members
    secret: str

    def write(self) -> str:
        """The token, signed."""
        data = query_of(self.fields)
        signature = sign_t1(self.secret, data).encode()
        outer = query_of([(name, signature if name == b"sig" else value) for name, value in self.outer])
        return "T1==" + base64.b64encode(outer + b":" + data).decode()


@attrs.define
class Janus(T1):
    """A signed token for Janus before it is written: its outer fields are the expiry and the realm."""

    def write(self) -> str:
        """The token, signed."""
        signed = b",".join([value for _, value in self.outer] + [name + b"=" + value for name, value in self.fields])
        mac = base64.b64encode(bytes.fromhex(sign_t1(self.secret, signed)))
        return (signed + b":" + mac).decode("utf-8", "surrogateescape")


def segment(data: bytes) -> str:
    """*data* in base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def object_of(members: Sequence[Member]) -> bytes:
    """The members as a JSON object."""
    return b"{" + b",".join(name + b":" + value for name, value in members) + b"}"


def query_of(members: Sequence[Member]) -> bytes:
    """The members as a query string."""
    return b"&".join(name + b"=" + value for name, value in members)


def members_of(values: dict[str, Any]) -> Members:
    """The members of an object, as JSON writes them."""
    return [(json.dumps(name).encode(), json.dumps(value).encode()) for name, value in values.items()]


def valid(rng: Random) -> tuple[Jwt | T1, str]:
    """A valid token of any format, and the id of its session."""
    token_format = rng.choice(list(TokenFormat))
    if token_format is TokenFormat.VONAGE_JWT:
        project = APPLICATION
    elif token_format is TokenFormat.SESSION_JWT:
        project = rng.choice([OWN, APPLICATION, PLATFORM])
    else:
        project = rng.choice([OWN, PLATFORM])
    session_id = LIVE[project].session_id
    if project != OWN and rng.random() < 0.3:
        session_id = ELSEWHERE[project]
    claims: dict[str, Any] = {
        "session_id": session_id,
        "role": rng.choice(sorted(BUILT_IN_ROLES)),
        "scope": "session.connect",
        "iat": SECOND - rng.randrange(3600),
        "exp": SECOND + 1 + rng.randrange(3600),
    }
    if rng.random() < 0.5:
        claims["connection_data"] = text(rng)
    table = token_format.traits.table
    if table is not None and table.misfit(BUILT_IN_ROLES[claims["role"]].permissions):
        claims["role"] = "publisher"
    if token_format.traits.carries_layout and rng.random() < 0.3:
        claims["initial_layout_class_list"] = ["focus", "a+b"]
    return _MAKERS[token_format](rng, project, claims), session_id


def native_header(key: SigningKey) -> Members:
    """The header of a SESSION_JWT by *key*."""
    return members_of({"alg": key.algorithm.value, "typ": "session+jwt", "kid": key.key_id})


def text(rng: Random) -> str:
    """Some text without surrogates."""
    alphabet = rng.choice(["abc", "name=value&x", "é😀\u2028\u202e", '"\\/\b\n\r\t\x00\x7f', "%+ :=&;"])
    return "".join(rng.choices(alphabet, k=rng.choice([0, 1, 7, 40, 300])))


def _native(rng: Random, project: str, claims: dict[str, Any]) -> Jwt:
    key = RING[rng.choice([KeyState.ACTIVE, KeyState.RETIRED])]
    permissions = [permission.value for permission in BUILT_IN_ROLES[claims["role"]].permissions]
    said = {"iss": ISSUER, "aud": project, "jti": "a1b2", **claims, "permissions": permissions}
    if rng.random() < 0.3:
        said["sub"] = "somebody"
    return Jwt(native_header(key), members_of(said), lambda data: sign_with(key, data))


def _opentok(rng: Random, project: str, claims: dict[str, Any]) -> Jwt:
    secret = rng.choice(SECRETS[project])
    said = {**_joined(claims), "iss": project, "ist": "project", "nonce": rng.random()}
    if rng.random() < 0.2:
        # PHP's order, by which its escaped layout classes are known.
        said = {"iss": project, "iat": claims["iat"], **said}
    header = {"alg": "HS256", "typ": "JWT"}
    return Jwt(members_of(header), members_of(said), lambda data: sign_hs256(secret, data))


def _vonage(rng: Random, project: str, claims: dict[str, Any]) -> Jwt:
    said = {
        **_joined(claims),
        "jti": "a1b2",
        "sub": "video",
        "acl": {"paths": {"/session/**": {}}},
        "application_id": APPLICATION_ID,
    }
    return Jwt(members_of({"alg": "RS256", "typ": "JWT"}), members_of(said), sign_rs256)


def _by_table(rng: Random, project: str, claims: dict[str, Any], *, livekit: bool) -> Jwt:
    secret = rng.choice(SECRETS[project])
    rights = BUILT_IN_ROLES[claims["role"]].permissions
    said = {"iss": secret_id(secret), "jti": "a1b2", "exp": claims["exp"], "nbf": claims["iat"]}
    if rng.random() < 0.7:
        # What the servers' own SDKs leave out.
        said |= {"aud": project, "iat": claims["iat"], "role": claims["role"]}
    if livekit:
        said |= {"sub": "somebody", "metadata": claims.get("connection_data", "")}
        names = {"canSubscribe": "subscribe", "canPublish": "publish", "canPublishData": "signal"}
        flags = {claim: right in rights for claim, right in names.items()} | {"roomAdmin": "force_mute" in rights}
        said["video"] = {"roomJoin": True, "room": claims["session_id"], **flags}
    else:
        user = {"id": "somebody", "data": claims.get("connection_data", ""), "moderator": "force_mute" in rights}
        said |= {"sub": "*", "room": claims["session_id"], "context": {"user": user}}
    header = {"alg": "HS256", "typ": "JWT"}
    return Jwt(members_of(header), members_of(said), lambda data: sign_hs256(secret, data))


def _t1(rng: Random, project: str, claims: dict[str, Any]) -> T1:
    names = {"iat": "create_time", "exp": "expire_time"}
    said = {names.get(name, name): str(value) for name, value in _joined(claims).items()}
    fields = [(name.encode(), quote_plus(value).encode()) for name, value in {**said, "nonce": "42"}.items()]
    return T1([(b"partner_id", project.encode()), (b"sig", b"")], fields, rng.choice(SECRETS[project]))


def _janus(rng: Random, project: str, claims: dict[str, Any]) -> Janus:
    said = {
        "room": claims["session_id"],
        "project": project,
        "iat": claims["iat"],
        "jti": "a1b2",
        "role": "publisher",
        "data": claims.get("connection_data"),
    }
    fields = [(name.encode(), quote(str(value), safe="").encode()) for name, value in said.items() if value]
    outer = [(b"exp", str(claims["exp"]).encode()), (b"realm", b"janus.plugin.videoroom")]
    return Janus(outer, fields, rng.choice(SECRETS[project]))


def _joined(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims with the layout classes as one text."""
    layout = claims.get("initial_layout_class_list")
    return claims if layout is None else {**claims, "initial_layout_class_list": " ".join(layout)}


_MAKERS: dict[TokenFormat, Callable[[Random, str, dict[str, Any]], Jwt | T1]] = {
    TokenFormat.SESSION_JWT: _native,
    TokenFormat.OPENTOK_JWT: _opentok,
    TokenFormat.VONAGE_JWT: _vonage,
    TokenFormat.OPENTOK_T1: _t1,
    TokenFormat.LIVEKIT_JWT: partial(_by_table, livekit=True),
    TokenFormat.JITSI_JWT: partial(_by_table, livekit=False),
    TokenFormat.JANUS: _janus,
}
