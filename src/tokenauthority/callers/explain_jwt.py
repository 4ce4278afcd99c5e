"""Explain whether a JWT proves a caller: every check that the server makes, with its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from tokenauthority.callers.identity import Issuer, JwtIdentity
from tokenauthority.callers.jwt_rules import RULES, JwtRule, find_issuer, key_id_of, read_jwt, shown, subject_of
from tokenauthority.callers.registry import CallerRegistry
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token import TokenRejectedError
from tokenauthority.signing.jose import CompactJws
from tokenauthority.signing.jwks_reader import Jwks, JwksError


@attrs.frozen
class JwtCheck:
    """The result of one check; `passed` None: it could not be made. The text holds no signature."""

    part: str
    passed: bool | None
    text: str


async def explain_jwt(
    token: str, callers: CallerRegistry, now: Seconds, load_keys: Callable[[Issuer], Awaitable[Jwks]]
) -> list[JwtCheck]:
    """Return the checks of *token* in their order; those after an unreadable token or an unknown issuer cannot be made.

    *load_keys* returns the keys of an issuer, or raises JwksError.
    """
    checks: list[JwtCheck] = []
    try:
        jws = read_jwt(token)
        checks.append(JwtCheck("form", passed=True, text="it is a JWS in compact form"))
        issuer = find_issuer(jws, callers.find_issuer)
        checks.append(JwtCheck("iss", passed=True, text=f"iss is {shown(issuer.issuer)}"))
    except TokenRejectedError as error:
        return [*checks, JwtCheck("iss" if checks else "form", passed=False, text=error.detail)]
    checks += [_check_rule(rule, jws, issuer, now) for rule in RULES]
    return [*checks, await _check_signature(jws, issuer, load_keys), _check_caller(jws, issuer, callers)]


def _check_rule(rule: JwtRule, jws: CompactJws, issuer: Issuer, now: Seconds) -> JwtCheck:
    try:
        return JwtCheck(rule.part, passed=True, text=rule.check(jws, issuer, now))
    except TokenRejectedError as error:
        return JwtCheck(rule.part, passed=False, text=error.detail)


async def _check_signature(jws: CompactJws, issuer: Issuer, load_keys: Callable[[Issuer], Awaitable[Jwks]]) -> JwtCheck:
    try:
        key_id = key_id_of(jws)
        jwks = await load_keys(issuer)
    except TokenRejectedError as error:
        return JwtCheck("kid", passed=False, text=error.detail)
    except JwksError as error:
        return JwtCheck("kid", passed=None, text=f"the keys of the issuer cannot be fetched: {error}")
    key = jwks.keys.get(key_id)
    if key is None:
        others = f"usable: {', '.join(map(shown, sorted(jwks.keys))) or 'none'}"
        unusable = "".join(f"; {text}" for text in jwks.describe_unusable())
        return JwtCheck(
            "kid", passed=False, text=f"kid {shown(key_id)} is no usable key of the issuer; {others}{unusable}"
        )
    holds = key.verifier.holds(jws)
    verb = "is" if holds else "is not"
    return JwtCheck("signature", passed=holds, text=f"the signature {verb} that of kid {shown(key_id)}")


def _check_caller(jws: CompactJws, issuer: Issuer, callers: CallerRegistry) -> JwtCheck:
    try:
        caller = callers.find_caller(JwtIdentity(issuer.issuer, subject := subject_of(jws)))
    except TokenRejectedError as error:
        return JwtCheck("caller", passed=False, text=error.detail)
    if caller is None:
        return JwtCheck("caller", passed=False, text=f"no caller has the sub {shown(subject)} of this issuer")
    return JwtCheck("caller", passed=True, text=f"the caller is {caller.name}")
