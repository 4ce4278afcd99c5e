"""TURN servers as settings name them, and the password that such a server computes."""

from __future__ import annotations

import base64
import hmac

from collections.abc import Sequence
from pathlib import Path
from typing import Final


URLS: Final = ("turn:turn.example.com:3478?transport=udp", "turns:turn.example.com")
SECRETS: Final = ("first-secret-of-turn-servers-1234567890", "second-secret-of-turn-servers-123456789")


def turn_settings(directory: Path, urls: Sequence[str] = URLS, secrets: Sequence[str] = SECRETS) -> dict[str, str]:
    """The group `turn` of settings whose secrets are in *directory*."""
    path = directory / "secrets-of-turn-servers"
    path.write_text("\n".join(secrets), encoding="utf-8")
    path.chmod(0o600)
    return {"urls": " ".join(urls), "secrets_file": str(path)}


def password_of(username: str, secret: str = SECRETS[0]) -> str:
    """What a TURN server expects of *username* (draft-uberti-behave-turn-rest-00, section 2.2)."""
    return base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()
