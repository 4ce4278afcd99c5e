"""Makes tokens: one, or a batch of which all or none are made."""

from __future__ import annotations

import asyncio
import secrets

from time import perf_counter
from typing import TYPE_CHECKING, Final

import attrs

from tokenauthority.authority.sessions import place_of
from tokenauthority.domain.errors import (
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    Reason,
    TokenAuthorityError,
    UnavailableError,
    Violation,
)
from tokenauthority.domain.policy import Granted, Refused, decide
from tokenauthority.domain.token import MAX_BATCH, MintedToken, TokenClaims, TokenFormat, request_violations
from tokenauthority.signing import opentok_jwt, opentok_t1, session_jwt, vonage_jwt


if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenauthority.authority.catalog import Catalog, Tenant
    from tokenauthority.authority.keys import Keys
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.session import Session
    from tokenauthority.domain.times import Millis
    from tokenauthority.domain.token import TokenRequest


_TURN: Final = 0.005
"""Seconds that a batch may hold the event loop before it lets others have their turn."""

_MAX_VIOLATIONS: Final = 2 * MAX_BATCH
"""Violations of a batch that are all named; they travel in the trailers, of which a client takes half a megabyte."""

_NONCES: Final = 1_000_000
"""The Python SDK draws 0 to 999999."""


@attrs.frozen
class _Place:
    tenant: Tenant
    session: Session | None


class Generate:
    """The use cases GenerateToken and BatchGenerateTokens; *issuer* is the `iss` of the native format."""

    def __init__(self, catalog: Catalog, keys: Keys, issuer: str) -> None:
        self._catalog = catalog
        self._keys = keys
        self._issuer = issuer

    async def one(self, request: TokenRequest, grant: Grant, now: Millis) -> MintedToken:
        """One token.

        Raises:
            InvalidRequestError, PermissionDeniedError, NotFoundError, PreconditionError, UnavailableError.
        """
        violations = request_violations(request, now)
        if violations:
            raise InvalidRequestError(violations)
        place = await self._place(request.session_id, grant)
        granted = await self._granted(request, place, grant, now)
        return self._mint(request, place, granted)

    async def batch(self, requests: Sequence[TokenRequest], grant: Grant, now: Millis) -> list[MintedToken]:
        """All tokens in the order asked for, or none.

        Raises:
            PermissionDeniedError: the first item that the grant does not allow.
            InvalidRequestError: every item that is bad for any other cause, as `requests[17].role`.
            UnavailableError: the store cannot be read.
        """
        if not 1 <= len(requests) <= MAX_BATCH:
            raise InvalidRequestError([Violation("requests", f"must have 1 to {MAX_BATCH} items, has {len(requests)}")])
        turn = _Turn()
        places: dict[str, _Place | TokenAuthorityError] = {}
        granted: list[tuple[TokenRequest, _Place, Granted]] = []
        violations: list[Violation] = []
        for index, request in enumerate(requests):
            found: Sequence[Violation] = request_violations(request, now)
            if not found:
                try:
                    place = await self._place_once(request.session_id, grant, places)
                    granted.append((request, place, await self._granted(request, place, grant, now)))
                except (
                    InvalidRequestError,
                    PermissionDeniedError,
                    NotFoundError,
                    PreconditionError,
                ) as error:
                    found = _as_violations(error, f"requests[{index}]")
            if found:
                violations.extend(v.under(f"requests[{index}]") for v in found)
            await turn.taken()
        if violations:
            raise InvalidRequestError(violations if len(violations) <= _MAX_VIOLATIONS else _first_of_each(violations))
        minted = []
        for request, place, grant_of_item in granted:
            minted.append(self._mint(request, place, grant_of_item))
            await turn.taken()
        return minted

    async def _place_once(
        self, session_id: str, grant: Grant, places: dict[str, _Place | TokenAuthorityError]
    ) -> _Place:
        place = places.get(session_id)
        if place is None:
            try:
                place = await self._place(session_id, grant)
            except UnavailableError:
                raise
            except TokenAuthorityError as error:
                place = error
            places[session_id] = place
        if isinstance(place, TokenAuthorityError):
            raise place
        return place

    async def _place(self, session_id: str, grant: Grant) -> _Place:
        tenant = await place_of(session_id, self._catalog, grant)
        session = await self._catalog.session(session_id)
        if session is None and not tenant.project.external_sessions:
            raise NotFoundError.session(session_id)
        return _Place(tenant, session)

    async def _granted(self, request: TokenRequest, place: _Place, grant: Grant, now: Millis) -> Granted:
        project = place.tenant.project
        role = await self._catalog.role(project.project_id, request.role)
        decision = decide(request, project=project, session=place.session, role=role, grant=grant, now=now)
        if isinstance(decision, Refused):
            raise decision.error
        _require_key(decision.format, place.tenant)
        return decision

    def _mint(self, request: TokenRequest, place: _Place, granted: Granted) -> MintedToken:
        token_format = granted.format
        keys = place.tenant.keys
        native = token_format is TokenFormat.SESSION_JWT
        has_id = native or token_format is TokenFormat.VONAGE_JWT
        claims = TokenClaims(
            session_id=request.session_id,
            role=request.role,
            issue_time=granted.issue_time,
            expire_time=granted.expire_time,
            project_id=place.tenant.project.project_id,
            application_id=place.tenant.project.vonage_application_id or "",
            token_id=secrets.token_hex(16) if has_id else "",
            permissions=granted.role.permissions if native else (),
            data=request.data,
            initial_layout_class_list=request.initial_layout_class_list,
            subject=request.subject,
            issuer=self._issuer,
        )
        if native:
            signing_key = self._keys.ring.active
            encoded, key_id = session_jwt.encode(claims, signing_key), signing_key.key_id
        elif token_format is TokenFormat.VONAGE_JWT and keys.vonage is not None:
            encoded, key_id = vonage_jwt.encode(claims, keys.vonage), keys.vonage.key_id
        else:
            secret = keys.secrets[0]
            codec = opentok_t1 if token_format is TokenFormat.OPENTOK_T1 else opentok_jwt
            encoded, key_id = codec.encode(claims, secret, secrets.randbelow(_NONCES)), secret.secret_id
        return MintedToken(
            token=encoded.token, token_id=encoded.token_id, format=token_format, key_id=key_id, claims=claims
        )


class _Turn:
    """Gives the event loop to others once this task has had it for a few milliseconds."""

    def __init__(self) -> None:
        self._since = perf_counter()

    async def taken(self) -> None:
        if perf_counter() - self._since > _TURN:
            await asyncio.sleep(0)
            self._since = perf_counter()


def _require_key(token_format: TokenFormat, tenant: Tenant) -> None:
    missing = (
        (token_format is TokenFormat.VONAGE_JWT and tenant.keys.vonage is None)
        or (token_format in {TokenFormat.OPENTOK_T1, TokenFormat.OPENTOK_JWT} and not tenant.keys.secrets)
    )  # fmt: skip
    if missing:
        raise PreconditionError(
            Reason.FORMAT_UNAVAILABLE,
            tenant.project.project_id,
            f"the project has no key that signs {token_format}",
        )


def _first_of_each(violations: Sequence[Violation]) -> list[Violation]:
    """Of too many violations, the first of each item."""
    by_item: dict[str, Violation] = {}
    for violation in violations:
        by_item.setdefault(violation.field.partition(".")[0], violation)
    return list(by_item.values())


def _as_violations(error: TokenAuthorityError, item: str) -> Sequence[Violation]:
    """What an item's error says about its fields; a refusal by the grant ends the whole batch."""
    if isinstance(error, PermissionDeniedError):
        raise PermissionDeniedError(
            error.reason, f"{item}: {error}", limit=error.limit, field=f"{item}.{error.field}"
        ) from error
    if isinstance(error, InvalidRequestError):
        return error.violations
    field = {Reason.ROLE_NOT_FOUND: "role", Reason.FORMAT_UNAVAILABLE: "format"}.get(error.reason, "session_id")
    return [Violation(field, str(error))]
