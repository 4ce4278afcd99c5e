"""Write a JSON object in parts, so that what the tokens of a batch have in common is encoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


_encode: Final = msgspec.json.Encoder().encode


def members(values: Mapping[str, object]) -> bytes:
    """Return the members of a JSON object, each after a comma."""
    return b"," + _encode(values)[1:-1] if values else b""


def member(start: bytes, text: str) -> bytes:
    """Return a member that begins with *start*, such as `,"sub":`; nothing if *text* is empty."""
    return start + _encode(text) if text else b""


def json_object(*parts: bytes) -> bytes:
    """Return the object of members that `members` and `member` wrote; the first part must have one."""
    return b"{" + b"".join(parts)[1:] + b"}"
