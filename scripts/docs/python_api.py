"""Generate the reference of the Python packages: every public name, rendered by mkdocstrings from its docstring."""

from __future__ import annotations

from typing import Final

import tokenauthority.client
import tokenauthority.verifier

from scripts.docs.markdown import page


_ORDER: Final = ("Authority", "AsyncAuthority", "Connection", "Session", "AsyncSession", "Verifier", "Verdict")
"""What a reader looks for first; the other names follow in the order of the alphabet."""


def client_page() -> str:
    """Return the page of the client."""
    return _page("Python client", "tokenauthority.client", tokenauthority.client.__all__)


def verifier_page() -> str:
    """Return the page of the offline verifier."""
    names = [name for name in tokenauthority.verifier.__all__ if name not in tokenauthority.client.__all__]
    return _page("Offline verifier", "tokenauthority.verifier", names)


def _page(title: str, package: str, names: list[str]) -> str:
    first = [name for name in _ORDER if name in names]
    parts = [f"::: {package}.{name}" for name in [*first, *sorted(set(names) - set(first))]]
    return page(title, f"Import these names from `{package}`.", *parts)
