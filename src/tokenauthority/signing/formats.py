"""Tells the token formats apart, by rules of which no token fits two, and reads each with its own codec."""

from __future__ import annotations

from tokenauthority.signing import opentok_jwt, opentok_t1, session_jwt, vonage_jwt
from tokenauthority.signing.codec import Unverified
from tokenauthority.signing.jose import parse_compact
from tokenauthority.signing.keys import SESSION_JWT_TYPE


def parse(token: str) -> Unverified:
    """Read *token*, of whichever format, without verifying it.

    `T1==` starts an OPENTOK_T1; `typ: session+jwt` marks a SESSION_JWT; of other JWTs those with an
    `application_id` are VONAGE_JWT and the rest OPENTOK_JWT.

    Raises:
        TokenRejectedError: `MALFORMED`, whatever else *token* may be.
    """
    if token.startswith(opentok_t1.PREFIX):
        return opentok_t1.parse(token)
    jws = parse_compact(token)
    if jws.header.get("typ") == SESSION_JWT_TYPE:
        return session_jwt.read(jws)
    if "application_id" in jws.payload:
        return vonage_jwt.read(jws)
    return opentok_jwt.read(jws)
