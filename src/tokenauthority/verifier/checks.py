"""Says whether a SESSION_JWT is good, by what is known: the rules of VerifyToken in the order of the contract. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import InactiveReason, TokenFormat, TokenRejectedError
from tokenauthority.domain.validity import require_in_force, require_permissions, require_time
from tokenauthority.signing import formats, session_jwt
from tokenauthority.signing.codec import key_unknown


if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from tokenauthority.domain.revoked import RevokedIndex
    from tokenauthority.domain.times import Seconds
    from tokenauthority.domain.token import TokenClaims
    from tokenauthority.signing.codec import Unverified
    from tokenauthority.signing.jwk import JwksKey


_PERMISSIONS: Final = {permission.value: permission for permission in Permission}


@attrs.frozen(kw_only=True)
class Wanted:
    """What is asked of a token: for *session_id* if given, with the *permissions*."""

    session_id: str
    permissions: Collection[Permission]


@attrs.frozen(kw_only=True)
class Known:
    """What is known at *now*; *find* answers the key of a `kid`."""

    project_ids: frozenset[str]
    issuer: str
    find: Callable[[str], JwksKey | None]
    index: RevokedIndex
    now: Seconds
    leeway: Seconds


def read(token: str, known: Known) -> Unverified:
    """What *token* says, whose signature holds; whether it is in force is not asked.

    Raises:
        TokenRejectedError: `MALFORMED`, `PROJECT_UNKNOWN`, `KEY_UNKNOWN` or `SIGNATURE_INVALID`.
    """
    unverified = formats.parse(token)
    if unverified.format is not TokenFormat.SESSION_JWT:
        raise key_unknown(f"an {unverified.format} is signed with its project's own key: only VerifyToken can tell")
    if unverified.claims.project_id not in known.project_ids:
        raise TokenRejectedError(InactiveReason.PROJECT_UNKNOWN, "the token's project is not one of the verifier's")
    key = known.find(unverified.key_hint)
    if key is None:
        raise key_unknown("the authority shows no such signing key")
    session_jwt.require_signed(unverified, key.verifier, known.issuer)
    return unverified


def require_good(claims: TokenClaims, wanted: Wanted, known: Known) -> None:
    """Require that a token is in force now and what is wanted.

    Raises:
        TokenRejectedError: `NOT_YET_VALID`, `EXPIRED`, `REVOKED`, `SESSION_ENDED`, `SESSION_MISMATCH` or
            `PERMISSION_MISSING`.
    """
    require_time(claims, known.now, known.leeway)
    require_in_force(known.index, claims.project_id, claims)
    if known.index.ended(claims.project_id, claims.session_id):
        raise TokenRejectedError(InactiveReason.SESSION_ENDED, "the session has ended")
    if wanted.session_id and wanted.session_id != claims.session_id:
        raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the token is for another session")
    require_permissions(claims.permissions, wanted.permissions)


def permissions(names: Iterable[str]) -> tuple[Permission, ...]:
    """The permissions called *names*, in either case.

    Raises:
        ValueError: there is none of that name; the message names those that there are.
    """
    if isinstance(names, str):
        raise ValueError('required_permissions is a list such as ["publish"]')  # noqa: TRY004 - as any bad name
    try:
        return tuple([_PERMISSIONS[str(name).lower()] for name in names])
    except KeyError:
        raise ValueError(f"required_permissions must be among {', '.join(_PERMISSIONS)}") from None
