"""Say how many there are of something."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """Return *number* with *noun*, such as `1 caller` or `2 callers`; a fraction in six digits at most."""
    shown = number if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"
