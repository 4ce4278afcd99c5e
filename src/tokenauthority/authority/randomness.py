"""Random token ids and nonces, made a page at a time."""

from __future__ import annotations

import os

from struct import Struct
from typing import Final


_PAGE: Final = 4096
"""Bytes that are asked of the system at once."""

_ID: Final = 32
"""Hex characters of 128 bits."""

_NUMBERS: Final = Struct(f"={_PAGE // 8}Q")

_NONCES: Final = 2**53
"""What every JSON parser reads exactly. The official SDKs draw smaller nonces, but the audit log names a token by its
signature: whoever reads the log must not be able to find the token's nonce by trying all of them."""


class Randomness:
    """The system's generator, called once for many tokens: a system call for each would cost more than its MAC.

    It holds values in memory before they are used, so they are for ids and nonces, never for keys. Safe on any thread.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._nonces: list[str] = []

    def identifier(self) -> str:
        """Return 128 random bits as 32 hex characters."""
        try:
            return self._ids.pop()
        except IndexError:
            page = os.urandom(_PAGE).hex()
            ids = [page[start : start + _ID] for start in range(0, len(page), _ID)]
            # Before other threads see the page: they could draw all of it.
            drawn, self._ids = ids.pop(), ids
            return drawn

    def nonce(self) -> str:
        """Return a random number below 2**53 in decimal."""
        try:
            return self._nonces.pop()
        except IndexError:
            nonces = [str(number % _NONCES) for number in _NUMBERS.unpack(os.urandom(_PAGE))]
            drawn, self._nonces = nonces.pop(), nonces
            return drawn
