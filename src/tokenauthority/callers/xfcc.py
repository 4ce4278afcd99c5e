"""Parse `x-forwarded-client-cert` exactly by Envoy's grammar, and refuse everything else.

Elements, one for each hop, are separated by commas; an element is `key=value` pairs separated by semicolons. A value
that holds `,`, `;` or `=` stands in double quotes, where a backslash goes before `"` and itself. Keys have any case.
"""

from __future__ import annotations

import re

from typing import Final

import attrs


MAX_HEADER: Final = 16 * 1024
"""Characters of a header: a certificate and its chain, percent-encoded, fit."""

KEYS: Final = ("By", "Hash", "Cert", "Chain", "Subject", "URI", "DNS")
_SINGLE: Final = frozenset({"Hash", "Cert", "Chain", "Subject"})
"""Keys that stand at most once in an element; a certificate may have several names, and a proxy several URIs."""

_BY_LOWER: Final = {key.lower(): key for key in KEYS}
_PRINTABLE: Final = re.compile(r"[ -~]+", re.ASCII)
_PAIR: Final = re.compile(r'([A-Za-z]{2,7})=(?:"((?:[^"\\]++|\\.)*+)"|([^ ",;=\\]*+))([,;]|\Z)', re.ASCII)
_ESCAPED: Final = re.compile(r'\\(["\\])')


class XfccError(ValueError):
    """The header is not what a proxy writes. The message quotes nothing of the header."""


@attrs.frozen
class Element:
    """What one hop says of the certificate that it verified: pairs of a key of `KEYS` and a value, in their order."""

    pairs: tuple[tuple[str, str], ...]

    def values(self, key: str) -> tuple[str, ...]:
        """Return all values of the key."""
        return tuple(value for name, value in self.pairs if name == key)


def parse_xfcc(header: str) -> tuple[Element, ...]:
    """Return the elements, the farthest hop first.

    Raises:
        XfccError: *header* is empty, longer than 16 KiB, not of printable ASCII, or breaks the grammar anywhere.
    """
    if len(header) > MAX_HEADER:
        raise XfccError("is too long")
    if not _PRINTABLE.fullmatch(header):
        raise XfccError("is empty or not of printable ASCII")
    elements, pairs = [], []
    position, separator = 0, ";"
    while separator:
        match = _PAIR.match(header, position)
        if match is None:
            raise XfccError("is not made of key=value pairs")
        pairs.append(_checked_pair(match))
        position, separator = match.end(), match[4]
        if separator != ";":
            elements.append(_checked_element(pairs))
            pairs = []
    return tuple(elements)


def _checked_pair(match: re.Match[str]) -> tuple[str, str]:
    key = _BY_LOWER.get(match[1].lower())
    if key is None:
        raise XfccError("has an unknown key")
    # A subject keeps its own escapes, such as `\,` (RFC 2253): only those of the header are removed.
    return key, match[3] if match[2] is None else _ESCAPED.sub(r"\1", match[2])


def _checked_element(pairs: list[tuple[str, str]]) -> Element:
    keys = [key for key, _ in pairs]
    if any(keys.count(key) > 1 for key in _SINGLE):
        raise XfccError("has a key twice in one element")
    return Element(tuple(pairs))
