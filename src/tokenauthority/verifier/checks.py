"""Check a SESSION_JWT: the rules of VerifyToken, in the order of the contract. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

import attrs

from tokenauthority.client.arguments import texts
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.domain.role import Permission
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import InactiveReason, TokenClaims, TokenRejectedError
from tokenauthority.domain.validity import require_not_revoked, require_permissions, require_session_id, require_time
from tokenauthority.signing.formats.codec import require_authority_signature
from tokenauthority.signing.formats.registry import read_token
from tokenauthority.signing.jwks_reader import JwksKey
from tokenauthority.signing.results import Unverified, key_unknown


_PERMISSIONS: Final = {permission.value: permission for permission in Permission}


@attrs.frozen(kw_only=True)
class CheckContext:
    """What tokens are checked against at *now*; *find_key* returns the key of a `kid`."""

    project_ids: frozenset[str]
    issuer: str
    find_key: Callable[[str], JwksKey | None]
    index: RevocationIndex
    now: Seconds
    leeway: Seconds


def require_signed_token(token: str, context: CheckContext) -> Unverified:
    """Parse *token* and require that its signature verifies, whether or not it is valid now.

    Raises:
        TokenRejectedError: `MALFORMED`, `PROJECT_UNKNOWN`, `KEY_UNKNOWN` or `SIGNATURE_INVALID`.
    """
    unverified = read_token(token)
    if not unverified.format.traits.signed_by_authority:
        raise key_unknown(f"an {unverified.format} is signed with its project's own key: VerifyToken can verify it")
    if unverified.claims.project_id not in context.project_ids:
        raise TokenRejectedError(InactiveReason.PROJECT_UNKNOWN, "the token's project is not one of the verifier's")
    key = context.find_key(unverified.key_hint)
    if key is None:
        raise key_unknown("the authority shows no such signing key")
    require_authority_signature(unverified, key.verifier, context.issuer)
    return unverified


def require_valid_claims(
    claims: TokenClaims, context: CheckContext, session_id: str, permissions: Collection[Permission]
) -> None:
    """Require that a token is in force now, is for the session, unless empty, and has the permissions.

    Raises:
        TokenRejectedError: `NOT_YET_VALID`, `EXPIRED`, `REVOKED`, `SESSION_ENDED`, `SESSION_MISMATCH` or
            `PERMISSION_MISSING`.
    """
    require_time(claims, context.now, context.leeway)
    require_not_revoked(context.index, claims.project_id, claims)
    if context.index.has_ended(claims.project_id, claims.session_id):
        raise TokenRejectedError(InactiveReason.SESSION_ENDED, "the session has ended")
    if session_id and session_id != claims.session_id:
        raise TokenRejectedError(InactiveReason.SESSION_MISMATCH, "the token is for another session")
    require_session_id(claims)
    require_permissions(claims.permissions, permissions)


def parse_permissions(names: Iterable[str]) -> tuple[Permission, ...]:
    """Return the permissions with these names, in either case.

    Raises:
        ValueError: a name is unknown, and the message lists the known names; or *names* is one string.
        TypeError: *names* is no list of strings.
    """
    if isinstance(names, str):
        raise ValueError('required_permissions is a list such as ["publish"]')  # noqa: TRY004 - as any invalid name
    try:
        return tuple([_PERMISSIONS[name.lower()] for name in texts("required_permissions", names)])
    except KeyError:
        raise ValueError(f"required_permissions must be among {', '.join(_PERMISSIONS)}") from None
