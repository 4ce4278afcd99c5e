"""Random bytes for token ids and nonces, fetched a page at a time."""

from __future__ import annotations

import os

from typing import Final


_PAGE: Final = 4096


class Randomness:
    """The system's generator, called once for many tokens: a system call for each would cost as much as its MAC.

    It holds bytes in memory before they are used, so they are for token ids and nonces, never for keys.
    """

    def __init__(self) -> None:
        self._page = b""
        self._used = 0

    def draw(self, count: int) -> bytes:
        """Return *count* fresh bytes, at most 4096."""
        start, end = self._used, self._used + count
        if end > len(self._page):
            self._page = os.urandom(_PAGE)
            start, end = 0, count
        self._used = end
        return self._page[start:end]
