"""What the authority is measured against in this process: official Python SDKs, and OpenSSL's bare signatures."""

from __future__ import annotations

import hmac

from typing import TYPE_CHECKING, Final

import attrs

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from livekit.api import AccessToken, VideoGrants
from opentok import Client, Roles

from benchmarks import by_hand, cpu
from benchmarks.calls import DATA, ROLE
from benchmarks.measure import Subject


if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from benchmarks.stores import Contents


_SIGNING_INPUT: Final = b"x" * 700
"""As many bytes as the header and the claims of a SESSION_JWT of this benchmark have."""


@attrs.frozen(kw_only=True)
class InProcess:
    """What this process does itself."""

    sdk_t1: Subject
    sdk_jwt: Subject
    livekit_sdk: Subject
    jitsi_by_hand: Subject
    janus_by_hand: Subject
    centrifugo_by_hand: Subject
    turn_by_hand: Subject
    es256_sign: Subject
    es256_verify: Subject
    rs256_sign: Subject
    hs256: Subject


def prepare(contents: Contents, rsa_key: RSAPrivateKey) -> InProcess:
    """Keys parsed and every object made that can be: what is left is the work itself."""
    sdk = Client(contents.project_id, contents.secret)
    session_id, role = contents.session_ids[0], Roles[ROLE]
    ec_key, ecdsa = generate_ec_key(SECP256R1()), ECDSA(SHA256())
    public, signature = ec_key.public_key(), ec_key.sign(_SIGNING_INPUT, ecdsa)
    padding, digest, secret = PKCS1v15(), SHA256(), contents.secret.encode()
    return InProcess(
        sdk_t1=_subject(
            "Python SDK generate_token T1",
            "token",
            lambda: sdk.generate_token(session_id, role=role, data=DATA, use_jwt=False),
            1000,
        ),
        sdk_jwt=_subject(
            "Python SDK generate_token JWT",
            "token",
            lambda: sdk.generate_token(session_id, role=role, data=DATA, use_jwt=True),
            1000,
        ),
        livekit_sdk=_subject("LiveKit's Python SDK", "token", lambda: _livekit_token(contents), 1000),
        jitsi_by_hand=_subject("PyJWT, a token for Jitsi", "token", lambda: by_hand.jitsi(contents), 1000),
        janus_by_hand=_subject("hmac, a token for Janus", "token", lambda: by_hand.janus(contents), 5000),
        centrifugo_by_hand=_subject(
            "PyJWT, a token for Centrifugo", "token", lambda: by_hand.centrifugo(contents, ec_key), 1000
        ),
        turn_by_hand=_subject("hmac, TURN credentials", "call", lambda: by_hand.turn(contents), 5000),
        es256_sign=_subject("bare ES256 signature", "signature", lambda: ec_key.sign(_SIGNING_INPUT, ecdsa), 3000),
        es256_verify=_subject(
            "bare ES256 verification", "signature", lambda: public.verify(signature, _SIGNING_INPUT, ecdsa), 1000
        ),
        rs256_sign=_subject(
            "bare RS256 signature", "signature", lambda: rsa_key.sign(_SIGNING_INPUT, padding, digest), 200
        ),
        hs256=_subject("bare HS256", "signature", lambda: hmac.digest(secret, _SIGNING_INPUT, "sha256"), 20_000),
    )


def _livekit_token(contents: Contents) -> str:
    grants = VideoGrants(room_join=True, room=contents.session_ids[0], room_admin=True)
    token = AccessToken("sec_0123456789abcdef", contents.secret)
    return token.with_identity("bob").with_metadata(DATA).with_grants(grants).to_jwt()


def _subject(name: str, unit: str, work: Callable[[], object], calls: int) -> Subject:
    return Subject(name, unit, lambda: cpu.per_call(work, calls))
