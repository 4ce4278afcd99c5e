"""Reads `[[issuers]]` of the callers file: whose JWTs prove a caller."""

from __future__ import annotations

import ipaddress

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tokenauthority.callers.identity import ALGORITHMS, Issuer


if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenauthority.callers.toml_fields import Table


MAX_ISSUER: Final = 2048
MAX_AUDIENCE: Final = 1024

_FIELDS: Final = ("issuer", "audience", "algorithms", "jwks_url", "jwks_file", "ca_file", "token_file")
_FILES: Final = ("jwks_file", "ca_file", "token_file")
_URL_RULE: Final = "must be an https URL (http only on loopback) without user or fragment"


def read_issuers(tables: Iterable[Table], directory: Path, own_issuer: str) -> tuple[Issuer, ...]:
    """The issuers; paths are relative to *directory*. *own_issuer*, the authority's own, cannot be one of them."""
    found: dict[str, Issuer] = {}
    for table in tables:
        issuer = _issuer(table, directory)
        if _same(issuer.issuer, own_issuer):
            table.refuse("issuer", "is the authority's own: its tokens are for people who join, never for callers")
        elif issuer.issuer in found:
            table.refuse("issuer", f"is that of line {found[issuer.issuer].line}")
        elif issuer.issuer:
            found[issuer.issuer] = issuer
    return tuple(found.values())


def _issuer(table: Table, directory: Path) -> Issuer:
    name = table.text("issuer", _is_issuer, f"must be 1 to {MAX_ISSUER} visible ASCII characters, as `iss` has them")
    table.where = f"issuer {name}" if name else table.where
    table.refuse_unknown(_FIELDS)
    rule = f"is required: 1 to {MAX_AUDIENCE} printable characters, one that only tokens for this authority have"
    files = {field: _file(table, field, directory) for field in _FILES}
    if ("jwks_url" in table) == ("jwks_file" in table):
        table.refuse_whole("needs exactly one of jwks_url and jwks_file", "jwks_file")
    if "jwks_url" not in table:
        for field in ("ca_file", "token_file"):
            if field in table:
                table.refuse(field, "goes with jwks_url only")
    return Issuer(
        issuer=name,
        audience=table.text("audience", _is_audience, rule),
        algorithms=tuple(sorted(table.names("algorithms", ALGORITHMS.__contains__))),
        jwks_url=table.text("jwks_url", _is_jwks_url, _URL_RULE) if "jwks_url" in table else "",
        line=table.line,
        **files,
    )


def _file(table: Table, field: str, directory: Path) -> Path | None:
    if field not in table:
        return None
    path = table.text(field, lambda text: text and "\0" not in text, "must be the path of a file")
    return directory / path


def _is_issuer(text: str) -> bool:
    return 1 <= len(text) <= MAX_ISSUER and all("!" <= character <= "~" for character in text)


def _is_audience(text: str) -> bool:
    return 1 <= len(text) <= MAX_AUDIENCE and text.isprintable()


def _is_jwks_url(text: str) -> bool:
    if not _is_issuer(text):
        return False
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    if not host or "@" in url.netloc or url.fragment or "#" in text:
        return False
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _same(issuer: str, own_issuer: str) -> bool:
    """Whether the two are one to a person; the authority never needs both spellings."""
    return bool(issuer) and issuer.rstrip("/").lower() == own_issuer.rstrip("/").lower()
