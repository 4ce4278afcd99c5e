"""PKCS#11 URIs (RFC 7512): the token with the signing keys, and the location of a key in it, never with a PIN."""

from __future__ import annotations

import re

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import attrs


MAX_URI: Final = 2048

_SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset({"token", "serial"})
_QUERY: Final = frozenset({"module-path", "pin-source"})
_ESCAPES: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.ASCII)


@attrs.frozen
class TokenUri:
    """A token by its label, its serial number or both, the module (.so) to reach it by, and the file with its PIN."""

    module_path: Path
    token: str = ""
    serial: str = ""
    pin_source: Path | None = None

    @classmethod
    def parse(cls, uri: str) -> TokenUri:
        """Parse *uri*, such as `pkcs11:token=LABEL?module-path=/PATH.so&pin-source=file:/PATH`.

        Raises:
            ValueError: *uri* is no such URI. The message holds no value of it.
        """
        if not uri.startswith(_SCHEME) or len(uri) > MAX_URI or not uri.isprintable():
            raise ValueError(f"must be pkcs11:... with at most {MAX_URI} printable characters")
        path, _, query = uri.removeprefix(_SCHEME).partition("?")
        if re.search(r"(?:^|[;&?])pin-value(?:=|$)", unquote(uri)):
            raise ValueError("must not have pin-value, which would show: use pin-source, or the setting for the PIN")
        where = _attributes(path, ";", _PATH)
        how = _attributes(query, "&", _QUERY)
        if not where.get("token") and not where.get("serial"):
            raise ValueError("must name the token by token=LABEL or serial=NUMBER")
        module_path = Path(how.get("module-path", ""))
        if not module_path.is_absolute():
            raise ValueError("must name the module by module-path=/ABSOLUTE/PATH.so")
        pin_source = _file_path(how["pin-source"]) if how.get("pin-source") else None
        return cls(module_path, where.get("token", ""), where.get("serial", ""), pin_source)

    @property
    def token_location(self) -> str:
        """Return the URI of the token alone, for messages and for the locations of its keys."""
        parts = (("token", self.token), ("serial", self.serial))
        return _SCHEME + ";".join(f"{name}={quote(value, safe='')}" for name, value in parts if value)

    def key_location(self, label: str, key_id: str) -> str:
        """Return the URI of the private key with that label and id in this token."""
        return f"{self.token_location};object={quote(label, safe='')};id={quote(key_id, safe='')};type=private"


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            # The message does not repeat its name: a secret may stand there by mistake.
            raise ValueError(f"has an attribute other than {' and '.join(sorted(known))} among those before or after ?")
        if name in found:
            raise ValueError(f"has {name} twice")
        if not _ESCAPES.fullmatch(value):
            raise ValueError(f"has a % in {name} without two hex digits")
        found[name] = unquote(value)
        if not found[name].isprintable():
            raise ValueError(f"has a character in {name} that is not printable")
    return found


def _file_path(source: str) -> Path:
    path = Path(re.sub(r"^file:(?://(?=/))?", "", source))
    if not path.is_absolute():
        raise ValueError("must name the file of the PIN by pin-source=file:/ABSOLUTE/PATH")
    return path
