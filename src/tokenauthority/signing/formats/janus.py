"""JANUS: a signed token for a room of Janus's VideoRoom plugin (docs/explanation/formats.md).

Janus reads the expiry, the realm and one descriptor, `room=`, and ignores the further ones, which say the rest to
VerifyToken (auth.c of Janus 1.1.2). No value has a comma or a colon, so that none can be read as another descriptor.
"""

from __future__ import annotations

import base64
import binascii
import re

from functools import partial
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from tokenauthority.domain.ids import MAX_SESSION_ID, is_project_id, is_role_name
from tokenauthority.domain.profile import JANUS
from tokenauthority.domain.role import BUILT_IN_ROLES, in_order
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import MAX_SUBJECT, GeneratedToken, TokenClaims, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import storable
from tokenauthority.signing.formats.codec import MAX_TOKEN_ID, Encoder, TextCodec, signed_with, verify_with_secrets
from tokenauthority.signing.jose import token_bytes
from tokenauthority.signing.project_keys import ProjectSecret
from tokenauthority.signing.results import LAST_SECOND, Unverified, malformed


REALM: Final = "janus.plugin.videoroom"
ALGORITHM: Final = "HMAC-SHA1"

_PERMISSIONS: Final = in_order(JANUS.implied)
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/]{27}=", re.ASCII)
_SIGNED: Final = re.compile(
    rf"(?P<exp>0|[1-9][0-9]{{0,15}}),{re.escape(REALM)},room=(?P<room>[^,:]+),project=(?P<project>[^,:]+)"
    r",iat=(?P<iat>0|[1-9][0-9]{0,15}),jti=(?P<jti>[A-Za-z0-9_-]+),role=(?P<role>[^,:]+)"
    r"(?:,sub=(?P<sub>[^,:]+))?(?:,data=(?P<data>[^,:]+))?",
    re.ASCII,
)


def prepare_janus(terms: TokenTerms, key: ProjectSecret) -> Encoder:
    """Return what makes tokens that say the terms, all but `issuer` and layout classes. The id of each is its `jti`."""
    before = (
        f"{terms.expire_time},{REALM},room={_escaped(terms.room or terms.session_id)},project={terms.project_id}"
        f",iat={terms.issue_time},jti="
    )
    after, mac = f",role={terms.role}", key.sha1

    def encode_janus(data: str, subject: str, unique: str) -> GeneratedToken:
        signed = f"{before}{unique}{after}"
        if subject:
            signed += f",sub={_escaped(subject)}"
        if data:
            signed += f",data={_escaped(data)}"
        signature = binascii.b2a_base64(mac.of(signed.encode()), newline=False).decode()
        return GeneratedToken(f"{signed}:{signature}", unique, subject, terms)

    return encode_janus


def _read_janus(token: str) -> Unverified:
    signed, _, signature = token_bytes(token).decode().partition(":")
    found = _SIGNED.fullmatch(signed)
    if found is None:
        raise malformed("the token is no signed token for Janus that an authority made")
    said = found.groupdict(default="")
    if not is_project_id(said["project"]):
        raise malformed("project is no project id")
    claims = TokenClaims(
        session_id=storable(_unescaped(said["room"]), "room", MAX_SESSION_ID),
        role=_role(said["role"]),
        permissions=_PERMISSIONS,
        issue_time=_moment(said["iat"]),
        expire_time=_moment(said["exp"]),
        project_id=said["project"],
        token_id=storable(said["jti"], "jti", MAX_TOKEN_ID),
        data=_unescaped(said["data"]),
        subject=storable(_unescaped(said["sub"]), "sub", MAX_SUBJECT) if said["sub"] else "",
    )
    return Unverified(
        format=TokenFormat.JANUS,
        claims=claims,
        key_hint="",
        algorithm=ALGORITHM,
        signing_input=signed.encode(),
        signature=_signature(signature),
    )


def _holds(secret: ProjectSecret, unverified: Unverified) -> bool:
    return secret.sha1.holds(unverified.signing_input, unverified.signature)


def _signature(text: str) -> bytes:
    signature = base64.b64decode(text) if _SIGNATURE.fullmatch(text) else b""
    if not signature or binascii.b2a_base64(signature, newline=False).decode() != text:
        raise malformed("the signature is not the canonical base64 of 20 bytes")
    return signature


def _role(name: str) -> str:
    if not is_role_name(name):
        raise malformed("role is no name of a role")
    if name in BUILT_IN_ROLES and BUILT_IN_ROLES[name].permissions != _PERMISSIONS:
        raise malformed("the token's rights are not those of its role")
    return name


def _moment(digits: str) -> Seconds:
    return min(Seconds(int(digits)), LAST_SECOND)


def _escaped(text: str) -> str:
    return quote(text, safe="")


def _unescaped(text: str) -> str:
    try:
        value = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        value = ""
    if _escaped(value) != text:
        raise malformed("a value is not escaped in the one way")
    return value


CODEC: Final = TextCodec(
    token_format=TokenFormat.JANUS,
    recognises=lambda token: f",{REALM}," in token,
    read=_read_janus,
    prepare=signed_with(ProjectSecret, prepare_janus),
    verify=partial(verify_with_secrets, holds=_holds),
)
