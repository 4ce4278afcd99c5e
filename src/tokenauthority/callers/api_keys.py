"""Make and recognise API keys: `tak_` and 43 characters of base64url from 32 random bytes.

Only the SHA-256 of a key is ever stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from typing import Final


PREFIX: Final = "tak_"
_KEY: Final = re.compile(r"tak_[A-Za-z0-9_-]{43}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def new_api_key() -> str:
    """Return a new random key."""
    return PREFIX + secrets.token_urlsafe(32)


def is_api_key(text: str) -> bool:
    """Return whether *text* has the shape of a key."""
    return _KEY.fullmatch(text) is not None


def redact_api_keys(text: str) -> str:
    """Return *text* with `tak_...` in place of each key."""
    return _KEY.sub(f"{PREFIX}...", text)


def is_digest(text: str) -> bool:
    """Return whether *text* has the shape of a key's digest."""
    return _DIGEST.fullmatch(text) is not None


def digest(api_key: str) -> str:
    """Return the key's SHA-256 in lower-case hex. A key has 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(api_key.encode()).hexdigest()
