"""Say whether a token may be valid, by PyJWT's algorithms and the standard library: nothing of what is fuzzed."""

from __future__ import annotations

import base64
import json

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import jwt

from tests.authority.world import ISSUER, LEEWAY
from tests.fuzzing.target import (
    APPLICATION,
    APPLICATION_ID,
    ENDED,
    LIVE,
    OWN,
    PLATFORM,
    REVOKED,
    RING,
    SECOND,
    SECRETS,
    VONAGE_KEY,
    secret_id,
    sign_t1,
)
from tokenauthority.domain.key import KeyState


MAX_LIFE: Final = 30 * 86_400
DAY: Final = 86_400
_PERMISSIONS: Final = {
    "subscriber": {"subscribe"},
    "publisher": {"subscribe", "publish", "signal"},
    "publisheronly": {"publish"},
    "moderator": {"subscribe", "publish", "signal", "force_disconnect", "force_unpublish", "force_mute"},
}


def may_be_valid(token: str, session_id: str, required: Iterable[str]) -> bool:
    """Whether VerifyToken may call *token* active: the right key signed it, and all that it says is in order.

    It is as lax as can be about how a token is written, so it says nothing about what is to be refused.
    """
    try:
        read = _t1 if token.startswith("T1==") else _janus if ",janus.plugin.videoroom," in token else _jwt
        project, said = read(token)
    except (ValueError, LookupError, TypeError, AttributeError, jwt.PyJWTError):
        return False
    issued = float(said["iat"])
    expires = min(float(said.get("exp", issued + DAY)), issued + MAX_LIFE)
    role = said.get("role", "publisher")
    permissions = set(said["permissions"]) if "permissions" in said else _PERMISSIONS[role]
    return (
        # A fraction of a second is cut off.
        max(issued, float(said.get("nbf", 0))) < SECOND + LEEWAY + 1
        and expires + LEEWAY > SECOND
        and session_id in {"", said["session_id"]}
        and _is_in(said["session_id"], project)
        and set(required) <= permissions
    )


def _is_in(session_id: str, project: str) -> bool:
    """Whether it is a live session of the project, or one of the platform's that the project takes."""
    if session_id in {session.session_id for session in (*LIVE.values(), *ENDED.values(), *REVOKED.values())}:
        return session_id == LIVE[project].session_id
    if project == OWN:
        return False
    fields = base64.urlsafe_b64decode(session_id[2:].rstrip("=") + "==").decode().split("~")
    return fields[1].lower() in ({APPLICATION, APPLICATION_ID} if project == APPLICATION else {project})


def _t1(token: str) -> tuple[str, Mapping[str, Any]]:
    inner = base64.b64decode(token[4:].replace("-", "+").replace("_", "/").rstrip("=") + "==")
    meta, _, data = inner.partition(b":")
    outer = dict(parse_qsl(meta.decode(), keep_blank_values=True))
    project = outer["partner_id"]
    if project not in {OWN, PLATFORM} or outer["sig"] not in {sign_t1(secret, data) for secret in SECRETS[project]}:
        raise ValueError("nobody signed it")
    fields: dict[str, Any] = dict(parse_qsl(data.decode(), keep_blank_values=True))
    return project, {
        "iat": fields["create_time"],
        "session_id": fields["session_id"],
        "role": fields["role"],
        **({"exp": fields["expire_time"]} if "expire_time" in fields else {}),
    }


def _janus(token: str) -> tuple[str, Mapping[str, Any]]:
    signed, _, signature = token.partition(":")
    expiry, realm, *descriptors = signed.split(",")
    said = {name: unquote(value) for name, _, value in (each.partition("=") for each in descriptors)}
    project = _known(said["project"], {OWN, PLATFORM})
    mac = base64.b64decode(signature).hex()
    if realm != "janus.plugin.videoroom" or mac not in {
        sign_t1(secret, signed.encode()) for secret in SECRETS[project]
    }:
        raise ValueError("nobody signed it")
    return project, {"iat": said["iat"], "exp": expiry, "session_id": said["room"], "role": "publisher"}


def _jwt(token: str) -> tuple[str, Mapping[str, Any]]:
    header, payload = (_object(_decoded(segment)) for segment in token.split(".")[:2])
    if {"crit", "b64", "zip", "enc"} & header.keys():
        raise ValueError("the header changes how it is to be read")
    if header.get("typ") == "session+jwt":
        states = {RING[state].key_id: state for state in (KeyState.ACTIVE, KeyState.RETIRED)}
        key = RING[states[header["kid"]]]
        _require_signed(token, header, key.algorithm.value, key.private_key.public_key())
        if payload["iss"] != ISSUER or "exp" not in payload:
            raise ValueError("somebody else made it")
        return _known(payload["aud"], {OWN, PLATFORM, APPLICATION}), payload
    payload = {name: value for name, value in payload.items() if name != "permissions"}
    if "application_id" in payload:
        _require_signed(token, header, "RS256", VONAGE_KEY.public_key())
        _known(payload["application_id"].lower(), {APPLICATION_ID})
        return APPLICATION, {**payload, "exp": payload["exp"]}
    if "ist" not in payload and ("video" in payload or "room" in payload):
        return _by_table(token, header, payload)
    project = _known(str(payload["iss"]), {OWN, PLATFORM})
    _require_signed(token, header, "HS256", *[secret.encode() for secret in SECRETS[project]])
    return project, payload


def _by_table(token: str, header: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """What LiveKit or Jitsi gives for a token, as they read it."""
    owners = {secret_id(secret): (project, secret) for project in (OWN, PLATFORM) for secret in SECRETS[project]}
    project, secret = owners[payload["iss"]]
    _require_signed(token, header, "HS256", secret.encode())
    said = {"iat": payload.get("iat", payload.get("nbf", payload["exp"] - MAX_LIFE)), "exp": payload["exp"]}
    if "video" in payload:
        grant = {name: value for name, value in payload["video"].items() if value is not None}
        publishes = grant.get("canPublish", True)
        flags = {
            "subscribe": grant.get("canSubscribe", True),
            "publish": publishes,
            "signal": grant.get("canPublishData", publishes),
        }
        if grant["roomJoin"] is not True:
            raise ValueError("it lets nobody in")
        room, moderates = grant["room"], grant.get("roomAdmin", False)
    else:
        room, flags = payload["room"], dict.fromkeys(("subscribe", "publish", "signal"), True)
        user = (payload.get("context") or {}).get("user") or {}
        moderates = user.get("moderator") is True or user.get("affiliation") in {"owner", "moderator", "teacher"}
    permissions = {name for name, given in flags.items() if given is True}
    forced = _PERMISSIONS["moderator"] - _PERMISSIONS["publisher"] if moderates is True else set()
    nbf = payload.get("nbf", 0)
    return project, {**said, "nbf": nbf, "session_id": room, "permissions": permissions | forced}


def _require_signed(token: str, header: Mapping[str, Any], algorithm: str, *keys: Any) -> None:
    signing_input, _, signature = token.rpartition(".")
    verifier = jwt.get_algorithm_by_name(algorithm)
    held = any(verifier.verify(signing_input.encode(), key, _decoded(signature)) for key in keys)
    if header["alg"] != algorithm or not held:
        raise ValueError("nobody signed it")


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "==")


def _known(name: str, names: set[str]) -> str:
    if name not in names:
        raise ValueError("it is none of the caller's")
    return name


def _object(data: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    found: dict[str, Any] = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    return found
