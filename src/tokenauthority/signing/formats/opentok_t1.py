"""OPENTOK_T1: `T1==` and the base64 of a query string with an HMAC-SHA1 of it (docs/explanation/formats.md).

Written byte for byte as the official Python SDK does. Read as every official SDK writes it: any order and
escaping of the fields, both alphabets of base64, padded or not. The signature covers the raw bytes after the
first `:`, so nothing is ever encoded again to check it; `partner_id` lies outside and only says whose secrets
to try.
"""

from __future__ import annotations

import base64
import binascii
import re

from functools import partial
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from tokenauthority.domain.ids import MAX_SESSION_ID, is_project_id
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import MAX_MOMENT, storable
from tokenauthority.signing.formats.codec import (
    CONNECT_SCOPE,
    Encoder,
    TextCodec,
    signed_with,
    verify_with_secrets,
)
from tokenauthority.signing.formats.opentok import LAYOUT, day_after, require_built_in_role, split_classes
from tokenauthority.signing.jose import token_bytes
from tokenauthority.signing.project_keys import ProjectSecret
from tokenauthority.signing.results import LAST_SECOND, Unverified, malformed


PREFIX: Final = "T1=="
ALGORITHM: Final = "HMAC-SHA1"

MAX_FIELDS: Final = 32
"""Of the part before the first `:`, and of the one after it. The most that an official SDK writes are 8."""

_SIGNATURE: Final = re.compile(r"[0-9a-f]{40}", re.ASCII)
_MOMENT: Final = re.compile(r"([0-9]{1,16})(?:\.[0-9]{1,20})?", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})", re.ASCII)
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")

_quoted: Final = tuple(quote_plus(bytes([byte])) for byte in range(256)).__getitem__
"""What `quote_plus` makes of each byte: to call it for each token would be the slowest part of the token."""


def prepare_t1(terms: TokenTerms, key: ProjectSecret) -> Encoder:
    """Return what makes tokens as the Python SDK would write them (its nonces are below 1000000).

    The format carries session, project, role, times, data, layout classes and nonce. Its id is the signature.
    """
    partner = f"partner_id={terms.project_id}&sig="
    before = (
        f"session_id={quote_plus(terms.session_id)}&create_time={terms.issue_time}&expire_time={terms.expire_time}"
        f"&role={terms.role}&nonce="
    )
    after = f"&{LAYOUT}={quote_plus(' '.join(terms.initial_layout_class_list))}"
    mac = key.sha1

    def encode_t1(data: str, subject: str, unique: str) -> GeneratedToken:
        said = f"{before}{unique}{after}"
        if data:
            said = f"{said}&connection_data={''.join(map(_quoted, data.encode()))}"
        signature = mac.of(said.encode()).hex()
        inner = f"{partner}{signature}:{said}".encode()
        return GeneratedToken(
            PREFIX + binascii.b2a_base64(inner, newline=False).decode("ascii"), signature, subject, terms
        )

    return encode_t1


def _read_t1(token: str) -> Unverified:
    raw = token_bytes(token)
    if not raw.startswith(PREFIX.encode()):
        raise malformed("a T1 token starts with T1==")
    meta, colon, data = _decode(raw[len(PREFIX) :]).partition(b":")
    if not colon:
        raise malformed("the T1 token has no signed part")
    outer = _fields(meta)
    signature = _field(outer, "sig")
    if _SIGNATURE.fullmatch(signature) is None:
        raise malformed("sig is not 40 lower-case hex characters")
    return Unverified(
        format=TokenFormat.OPENTOK_T1,
        claims=_claims(_field(outer, "partner_id"), signature, _fields(data)),
        key_hint="",
        algorithm=ALGORITHM,
        signing_input=data,
        signature=bytes.fromhex(signature),
    )


def _holds(secret: ProjectSecret, unverified: Unverified) -> bool:
    return secret.sha1.holds(unverified.signing_input, unverified.signature)


def _claims(project_id: str, signature: str, fields: dict[str, str]) -> TokenClaims:
    if not is_project_id(project_id):
        raise malformed("partner_id is no project id")
    if fields.get("scope", CONNECT_SCOPE) != CONNECT_SCOPE:
        raise malformed(f"scope must be {CONNECT_SCOPE!r}")
    issue_time = _moment(fields, "create_time")
    return TokenClaims(
        session_id=storable(_field(fields, "session_id"), "session_id", MAX_SESSION_ID),
        role=require_built_in_role(_field(fields, "role")),
        issue_time=issue_time,
        expire_time=_moment(fields, "expire_time") if "expire_time" in fields else day_after(issue_time),
        project_id=project_id,
        token_id=signature,
        data=fields.get("connection_data", ""),
        initial_layout_class_list=split_classes(fields.get(LAYOUT, "")),
    )


def _decode(text: bytes) -> bytes:
    """Return the bytes of *text*: base64 of one alphabet, padded in full or not at all, no stray bits."""
    unpadded = text.rstrip(b"=")
    standard = unpadded.translate(_FROM_URL)
    one_alphabet = unpadded == standard or not (b"+" in unpadded or b"/" in unpadded)
    padding = b"=" * (-len(unpadded) % 4)
    try:
        inner = binascii.a2b_base64(standard + padding)
    except ValueError:
        inner = b""
    canonical = base64.b64encode(inner) == standard + padding and text[len(unpadded) :] in (b"", padding)
    if not (one_alphabet and canonical):
        raise malformed("the T1 token is not canonical base64")
    return inner


def _fields(query: bytes) -> dict[str, str]:
    """Return the fields of *query*, at most 32, none twice; names and values are unescaped, `+` being a space."""
    fields: dict[str, str] = {}
    try:
        parts = query.decode("utf-8").split("&", MAX_FIELDS)
        if len(parts) > MAX_FIELDS:
            raise malformed(f"the T1 token has more than {MAX_FIELDS} fields")
        for part in parts:
            name, equals, value = part.partition("=")
            # Java and .NET write layout classes raw, in which a % may stand for itself.
            if not equals or (name != LAYOUT and _BAD_ESCAPE.search(part)):
                raise malformed("the T1 token has a part that is no name=value")
            name = _unescape(name)
            if name in fields:
                raise malformed("the T1 token has a field twice")
            fields[name] = _unescape(value)
    except UnicodeDecodeError:
        raise malformed("the T1 token is not UTF-8") from None
    return fields


def _unescape(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")


def _field(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise malformed(f"{name} is missing")
    return fields[name]


def _moment(fields: dict[str, str], name: str) -> Seconds:
    match = _MOMENT.fullmatch(_field(fields, name))
    if match is None or int(match[1]) > MAX_MOMENT:
        raise malformed(f"{name} is no moment")
    return min(Seconds(int(match[1])), LAST_SECOND)


CODEC: Final = TextCodec(
    token_format=TokenFormat.OPENTOK_T1,
    recognises=lambda token: token.startswith(PREFIX),
    read=_read_t1,
    prepare=signed_with(ProjectSecret, prepare_t1),
    verify=partial(verify_with_secrets, holds=_holds),
)
