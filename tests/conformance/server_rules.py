"""What Jitsi's Prosody plugins, MediaMTX and Centrifugo do with a token, by PyJWT and their rules: no code of ours."""

from __future__ import annotations

import re

from collections.abc import Mapping
from typing import Any

import jwt


class RefusedError(Exception):
    """The server refuses the token; the text says by which rule."""


def jitsi(token: str, app_id: str, app_secret: str, room: str, now: int) -> dict[str, Any]:
    """What Jitsi knows of who joins *room*: `id`, `moderator`.

    With `app_id` and `app_secret` it gives no leeway, and compares rooms in lower case.
    """
    if jwt.get_unverified_header(token).get("typ") != "JWT":
        raise RefusedError("typ")
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    said = _decoded(token, app_secret, "HS256", issuer=app_id, options=options)
    if not isinstance(said.get("exp"), int) or said["exp"] <= now or said.get("nbf", 0) > now:
        raise RefusedError("time")
    if not isinstance(said.get("aud"), str) or not isinstance(said.get("room"), str) or "sub" not in said:
        raise RefusedError("aud, room and sub")
    if said["room"] != "*" and said["room"].lower() != room.lower():
        raise RefusedError("room")
    user = said.get("context", {}).get("user", {})
    owns = user.get("affiliation") in ("owner", "moderator", "teacher")
    return {"id": user.get("id"), "moderator": owns or user.get("moderator") in (True, "true")}


def mediamtx(token: str, key: Any, issuer: str, audience: str, *, action: str, path: str) -> None:
    """Let the bearer do *action* on *path*, or raise RefusedError.

    With `authMethod: jwt`, an empty path is every path, `~` begins a pattern, and an unknown member refuses the token.
    """
    said = _decoded(token, key, "ES256", issuer=issuer, audience=audience, options={"require": ["exp"]})
    for permission in said["mediamtx_permissions"]:
        if permission.keys() - {"action", "path"}:
            raise RefusedError("unknown member")
        allowed = permission.get("path", "")
        fits = not allowed or (allowed.startswith("~") and re.search(allowed[1:], path) is not None) or allowed == path
        if permission["action"] == action and fits:
            return
    raise RefusedError("permission")


def centrifugo(token: str, key: Any, issuer: str, audience: str) -> tuple[str, list[str]]:
    """The user and the channels that it is subscribed to at once (`channels`, a list of texts)."""
    said = _decoded(token, key, "ES256", issuer=issuer, audience=audience, options={"require": ["exp", "sub"]})
    channels = said.get("channels", [])
    if not all(isinstance(channel, str) for channel in channels):
        raise RefusedError("channels")
    return said["sub"], channels


def _decoded(token: str, key: Any, algorithm: str, **checks: Any) -> Mapping[str, Any]:
    try:
        found: dict[str, Any] = jwt.decode(token, key, [algorithm], **checks)
    except jwt.PyJWTError as error:
        raise RefusedError(type(error).__name__) from error
    return found
