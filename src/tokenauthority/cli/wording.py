"""Say how many there are of something."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, such as `1 caller` or `2 callers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
