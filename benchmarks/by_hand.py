"""What a back end makes by hand for servers without an official SDK: tokens, and credentials for TURN."""

from __future__ import annotations

import base64
import hmac
import secrets
import time

from typing import TYPE_CHECKING

import jwt

from benchmarks.calls import DATA


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from benchmarks.stores import Contents


_LIFETIME = 86_400
_TURN_LIFETIME = 3600


def jitsi(contents: Contents) -> str:
    """What Prosody's plugin takes."""
    key_id = "sec_0123456789abcdef"
    said = {
        **_common(),
        "iss": key_id,
        "aud": contents.project_id,
        "sub": "*",
        "room": contents.session_ids[0],
        "context": {"user": {"data": DATA, "moderator": True}},
    }
    return jwt.encode(said, contents.secret, "HS256", headers={"kid": key_id})


def janus(contents: Contents) -> str:
    """What the VideoRoom plugin takes, and no more."""
    signed = f"{int(time.time()) + _LIFETIME},janus.plugin.videoroom,room={contents.session_ids[0]}"
    mac = hmac.digest(contents.secret.encode(), signed.encode(), "sha1")
    return f"{signed}:{base64.b64encode(mac).decode()}"


def centrifugo(contents: Contents, key: EllipticCurvePrivateKey) -> str:
    """What Centrifugo takes by a JWKS."""
    said = {
        **_common(),
        "iss": "http://127.0.0.1:8080",
        "aud": contents.project_id,
        "sub": "bob",
        "channels": [contents.session_ids[0]],
    }
    return jwt.encode(said, key, "ES256", headers={"kid": "0123456789abcdef"})


def turn(contents: Contents) -> tuple[str, str]:
    """What coturn takes: a user name and its password."""
    username = f"{int(time.time()) + _TURN_LIFETIME}:bob"
    return username, base64.b64encode(hmac.digest(contents.secret.encode(), username.encode(), "sha1")).decode()


def _common() -> dict[str, object]:
    now = int(time.time())
    return {"jti": secrets.token_hex(16), "iat": now, "nbf": now, "exp": now + _LIFETIME}
