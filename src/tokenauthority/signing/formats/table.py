"""The one codec of all formats whose server has a `Profile`: a JWT under HS256 with a project secret.

What every profile's tokens have in common is written here: `iss` and `kid` name the secret, so that two of them live
through a rotation; `aud` is the project. Both are read as the servers' own SDKs write them, which know no `aud`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Final

import msgspec

from tokenauthority.domain.ids import MAX_SESSION_ID, is_project_id, is_role_name
from tokenauthority.domain.profile import ClaimPath, Flag, Profile
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission, in_order
from tokenauthority.domain.times import MAX_TTL, Seconds
from tokenauthority.domain.token import MAX_SUBJECT, GeneratedToken, TokenClaims, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import (
    Json,
    checked_text,
    not_before,
    numeric_date,
    storable,
    stored_text,
)
from tokenauthority.signing.formats.codec import MAX_TOKEN_ID, Encoder, JwsCodec, TrustedKeys, signed_with
from tokenauthority.signing.formats.rights import rights_claims, with_claim
from tokenauthority.signing.jose import CompactJws
from tokenauthority.signing.project_keys import ProjectSecret
from tokenauthority.signing.results import Unverified, Verified, key_unknown, malformed


MAX_KEY_ID: Final = 255

_COMPILED: Final = 1024
"""Roles and rooms whose claims are ready-made, for each profile."""

_OTHER_MARKS: Final = ("ist", "application_id")
"""Claims by which the tokens of OpenTok and Vonage are known, whatever else they say."""

_TIMES: Final = ("iat", "nbf", "exp")
_REGISTERED: Final = ("iss", "aud", "sub", "jti", "role", *_TIMES)
_ENCODER: Final = msgspec.json.Encoder()
_ROLE_OF: Final = {frozenset(role.permissions): role.name for role in BUILT_IN_ROLES.values()}


def table_codec(token_format: TokenFormat) -> JwsCodec:
    """Return the codec of *token_format* by the profile of its row."""
    profile = token_format.traits.table
    if not isinstance(profile, Profile):
        raise TypeError(f"{token_format} has no profile")
    return JwsCodec(
        token_format=token_format,
        recognises=partial(_recognises, profile),
        read=partial(_read, token_format, profile, _names_of(profile)),
        prepare=signed_with(ProjectSecret, _preparer(profile)),
        verify=verify_with_named_secret,
    )


def verify_with_named_secret(unverified: Unverified, trusted: TrustedKeys) -> Verified:
    """Return what the token says, once the live secret of the project that its `iss` names has signed it.

    Raises:
        TokenRejectedError: `SIGNATURE_INVALID`, or `KEY_UNKNOWN` where the project has no such secret.
    """
    keys, claims = trusted.project, unverified.claims
    named = [secret for secret in keys.secrets if secret.key_id == unverified.key_hint]
    if not named or claims.project_id not in ("", keys.project_id):
        raise key_unknown("iss names no live secret of the token's project")
    named[0].verifier.verify(unverified)
    return Verified(claims=claims, key_id=named[0].key_id)


def _preparer(profile: Profile) -> Callable[[TokenTerms, ProjectSecret], Encoder]:
    compiled = lru_cache(_COMPILED)(partial(_fixed_claims, profile))

    def prepare_by_table(terms: TokenTerms, key: ProjectSecret) -> Encoder:
        """Return what makes tokens that say the terms, all but `issuer` and layout classes; the id is the `jti`."""
        shared: dict[str, object] = {
            **compiled(terms.permissions, terms.room or terms.session_id),
            "iss": key.key_id,
            "aud": terms.project_id,
            "jti": "",
            "iat": terms.issue_time,
            "nbf": terms.issue_time,
            "exp": terms.expire_time,
            "role": terms.role,
        }
        sign = key.named_signer.sign

        def encode_by_table(data: str, subject: str, unique: str) -> GeneratedToken:
            payload = {**shared, "jti": unique}
            if subject:
                payload = with_claim(payload, profile.subject, subject)
            if data:
                payload = with_claim(payload, profile.data, data)
            return GeneratedToken(sign(_ENCODER.encode(payload))[0], unique, subject, terms)

        return encode_by_table

    return prepare_by_table


def _fixed_claims(profile: Profile, permissions: tuple[Permission, ...], room: str) -> dict[str, object]:
    """Return the claims that are the same in every token of a role in a room."""
    claims = rights_claims(profile, permissions, room)
    for path, value in (
        *profile.constants.items(),
        *((path, True) for path in profile.demanded),
        (profile.room, room),
    ):
        claims = with_claim(claims, path, value)
    return claims


def _recognises(profile: Profile, jws: CompactJws) -> bool:
    payload = jws.payload
    return jws.media_type == "jwt" and profile.mark in payload and not any(n in payload for n in _OTHER_MARKS)


def _read(
    token_format: TokenFormat, profile: Profile, names: Mapping[ClaimPath, frozenset[str]], jws: CompactJws
) -> Unverified:
    payload = jws.payload
    _require_exact_names(payload, names)
    for path in profile.demanded:
        if _claim(payload, path) is not True:
            raise malformed(f"{'.'.join(path)} must be true")
    permissions = in_order(_permissions(profile, payload))
    key_id = stored_text(payload, "iss", MAX_KEY_ID)
    token_id = stored_text(payload, "jti", MAX_TOKEN_ID) if "jti" in payload else ""
    subject = _stored_text(payload, profile.subject, MAX_SUBJECT) or (token_id if profile.needs_subject else "")
    if profile.needs_subject and not subject:
        raise malformed(f"{'.'.join(profile.subject)} is missing")
    audience = payload.get("aud")
    expire_time = numeric_date(payload, "exp")
    claims = TokenClaims(
        session_id=storable(_text(payload, profile.room), ".".join(profile.room), MAX_SESSION_ID),
        role=_role(payload, permissions),
        permissions=permissions,
        issue_time=_issue_time(payload, expire_time),
        expire_time=expire_time,
        project_id=audience if isinstance(audience, str) and is_project_id(audience) else "",
        token_id=token_id or jws.signature.hex(),
        data=_text(payload, profile.data),
        subject=subject,
        issuer=key_id,
        not_before=not_before(payload),
    )
    return jws.unverified(token_format, claims, key_id)


def _issue_time(payload: dict[str, Json], expire_time: Seconds) -> Seconds:
    # LiveKit's SDKs write `nbf` alone. A token without either counts as old as it can be: a revocation then covers it.
    name = next((name for name in ("iat", "nbf") if name in payload), None)
    return numeric_date(payload, name) if name else Seconds(max(0, expire_time - MAX_TTL))


def _role(payload: dict[str, Json], permissions: tuple[Permission, ...]) -> str:
    """Return the name of the role; empty if the token does not say it, and no built-in role has its permissions."""
    if "role" not in payload:
        return _ROLE_OF.get(frozenset(permissions), "")
    name = checked_text(payload, "role", is_role_name, "name of a role")
    if name in BUILT_IN_ROLES and BUILT_IN_ROLES[name].permissions != permissions:
        raise malformed("the token's rights are not those of its role")
    return name


def _permissions(profile: Profile, payload: dict[str, Json]) -> Iterator[Permission]:
    yield from profile.implied
    for row in profile.rights:
        narrowed = row.narrowed_by is not None and _claim(payload, row.narrowed_by) not in (None, [])
        if _is_given(profile, payload, row) and not narrowed:
            yield from row.permissions


def _is_given(profile: Profile, payload: dict[str, Json], row: Flag) -> bool:
    value = _claim(payload, row.path)
    if value is not None and not isinstance(value, bool):
        raise malformed(f"{'.'.join(row.path)} is neither true nor false")
    if row.also is not None and _claim(payload, row.also) is not None:
        given = _text(payload, row.also) in row.words
        if value is not None and value is not given:
            # Jitsi's token_affiliation gives the right if one of the two does; its older versions read the text alone.
            # Two servers would differ on what the bearer may do, so the token has no reading.
            raise malformed(f"{'.'.join(row.path)} and {'.'.join(row.also)} contradict each other")
        return given
    if value is None:
        if isinstance(row.absent, bool):
            return row.absent
        return _is_given(profile, payload, next(other for other in profile.rights if other.path == row.absent))
    return value


def _claim(payload: dict[str, Json], path: ClaimPath) -> Json:
    """Return the claim at *path*; None if it is not there, or null, which the servers read as not there."""
    value: Json = payload
    for place, name in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise malformed(f"{'.'.join(path[:place])} is no object")
        value = value.get(name)
    return value


def _text(payload: dict[str, Json], path: ClaimPath) -> str:
    value = _claim(payload, path)
    if value is not None and not isinstance(value, str):
        raise malformed(f"{'.'.join(path)} is no string")
    return value or ""


def _stored_text(payload: dict[str, Json], path: ClaimPath, limit: int) -> str:
    value = _text(payload, path)
    return storable(value, ".".join(path), limit) if value else ""


def _names_of(profile: Profile) -> Mapping[ClaimPath, frozenset[str]]:
    """Return the names that are read, by the object that they are in."""
    rows = [path for row in profile.rights for path in (row.path, row.narrowed_by, row.also) if path is not None]
    names: dict[ClaimPath, set[str]] = {(): set(_REGISTERED)}
    for path in (profile.room, profile.subject, profile.data, *profile.demanded, *rows):
        for place, name in enumerate(path):
            names.setdefault(path[:place], set()).add(name)
    return {path: frozenset(found) for path, found in names.items()}


def _require_exact_names(payload: dict[str, Json], names: Mapping[ClaimPath, frozenset[str]]) -> None:
    """Require that no name differs from one that is read in its case alone: Go's parser takes the two for one."""
    for path, known in names.items():
        claims = _claim(payload, path)
        folded = {name.casefold() for name in known}
        if isinstance(claims, dict) and any(name.casefold() in folded for name in claims.keys() - known):
            raise malformed("the name of a claim has another case")
