"""Find what the pages name and the program does not have."""

from __future__ import annotations

import re

from functools import cache
from pathlib import Path
from typing import Final

from scripts.docs.settings import all_settings
from tokenauthority.config.settings import PREFIX


_SOURCE: Final = Path(__file__).resolve().parents[2] / "src" / "tokenauthority"
_SETTINGS: Final = tuple(all_settings())
_VARIABLES: Final = frozenset(setting.variable for setting in _SETTINGS)
_GROUPS: Final = frozenset(setting.group for setting in _SETTINGS if setting.group)
_DOTTED: Final = frozenset(f"{setting.group}.{setting.name}" for setting in _SETTINGS)

_VARIABLE: Final = re.compile(rf"\b{PREFIX}[A-Z][A-Z0-9_]*[A-Z0-9]\b")
_NAME: Final = re.compile(rf"`({'|'.join(sorted(_GROUPS))})\.(?!toml`|jsonl|db`|key`|py`)([a-z0-9_]+)`")
_BRACKETED: Final = re.compile(r"`\[([a-z]+)\] ([a-z0-9_]+)`")
_LITERAL: Final = re.compile(rf'"([a-z_]+\.[a-z_]+)"|\b({PREFIX}[A-Z_]*[A-Z])\b')


def undefined_settings(text: str) -> list[str]:
    """Return each setting that *text* names and that does not exist.

    A name such as `audit.checkpoint` can be a log event or an action instead: it is one if the program's source has it.
    """
    found = [name for name in _VARIABLE.findall(text) if name not in _VARIABLES | _literals()]
    dotted = [".".join(pair) for pair in [*_NAME.findall(text), *_BRACKETED.findall(text)]]
    return found + [name for name in dotted if name not in _DOTTED | _literals()]


@cache
def _literals() -> frozenset[str]:
    """Return the names in the program's text: log events, actions, and the variables of clients."""
    texts = [path.read_text(encoding="utf-8") for path in _SOURCE.rglob("*.py")]
    return frozenset(name for text in texts for pair in _LITERAL.findall(text) for name in pair if name)
