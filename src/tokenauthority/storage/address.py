"""Parse the URL of a store, as an operator writes it, without ever showing its password."""

from __future__ import annotations

import os
import re

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import unquote

import attrs
import psycopg

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo


class StoreAddressError(ValueError):
    """The URL of the store cannot be used. The message does not quote it."""


@attrs.frozen
class SqliteAddress:
    """A database in one file."""

    path: Path

    @property
    def description(self) -> str:
        """The store in words."""
        return f"the store at {self.path}"


@attrs.frozen
class PostgresAddress:
    """A database on a PostgreSQL server, or on the one of several servers that is the primary.

    Its `repr` shows nothing: any of the parameters may be a password.
    """

    parameters: Mapping[str, str] = attrs.field(repr=False)
    """Connection parameters of libpq, by name, from the URL or libpq's variables. `host`, `hostaddr` and `port` are
    lists with commas if there are several servers."""

    @property
    def description(self) -> str:
        """The store in words, without user and password."""
        host, port = self.parameters.get("host", "the local socket"), self.parameters.get("port")
        return f"the store at {host}{(port and f':{port}') or ''}/{self.parameters.get('dbname', '')}"

    @property
    def servers(self) -> Sequence[Mapping[str, str]]:
        """The host and port of each server, in the order in which libpq tries them."""
        lists = {name: self.parameters[name].split(",") for name in _LISTS if name in self.parameters}
        count = max(map(len, lists.values()), default=1)
        ports = lists.get("port", [])
        if len(ports) == 1:
            lists["port"] = ports * count
        return [dict(zip(lists, server, strict=True)) for server in zip(*lists.values(), strict=True)] or [{}]

    @property
    def is_verified(self) -> bool:
        """Whether nobody on the way can pretend to be the server: TLS verifies it, or it is on this machine."""
        hosts = self.parameters.get("hostaddr", self.parameters.get("host", "")).split(",")
        return self.parameters.get("sslmode", "").startswith("verify-") or all(map(_is_local, hosts))


StoreAddress: TypeAlias = SqliteAddress | PostgresAddress

_SCHEMES: Final = re.compile(r"^(postgresql\+psycopg|postgresql|postgres)://")
_PORTS: Final = re.compile(r"^([0-9]{0,5},)*[0-9]{0,5}$")
_UNREADABLE: Final = (
    "the URL of the store cannot be read: check its port and parameters, and percent-encode each of `@ : / ? # %` "
    "in user and password"
)
_LISTS: Final = ("host", "hostaddr", "port")
_PRIMARIES: Final = ("any", "primary", "read-write")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def parse_address(url: str) -> StoreAddress:
    """Return the address in *url*.

    A store in memory has no URL on purpose: a server that loses its keys must not be one mistyped word away.

    Args:
        url: `sqlite:///PATH`, a file, relative to the working directory unless PATH begins with `/`, where `%` begins
            an escape as in every URL; or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=...`, with any
            connection parameter of libpq, and `HOST:PORT,HOST:PORT` for several servers of which one is the primary.

    Raises:
        StoreAddressError: *url* is neither.
    """
    if url.startswith("sqlite:"):
        return _sqlite_address(url)
    if _SCHEMES.match(url):
        return _postgres_address(_SCHEMES.sub("postgresql://", url))
    raise StoreAddressError("the URL of the store must begin with `sqlite:///` or `postgresql://`")


def _sqlite_address(url: str) -> SqliteAddress:
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "%00" in path or "?" in path or "#" in path or path.startswith((":memory:", "file:")):
        raise StoreAddressError(
            "a SQLite store is `sqlite:///` and the path of a file, and nothing else (a `?` of the path is `%3F`)"
        )
    return SqliteAddress(Path(unquote(path, errors="surrogateescape")))


def _postgres_address(url: str) -> PostgresAddress:
    # libpq would take what stands behind the first `@` for the host, which is then shown, or behind a `/` for the name.
    authority, _, rest = url.removeprefix("postgresql://").partition("/")
    if authority.count("@") > 1 or "@" in rest:
        raise StoreAddressError(
            "the URL of the store has an `@` that is not the one before the host: in user and password, "
            "percent-encode each of `@ : / ? # %`, as `%40` for `@`"
        )
    try:
        # By the parser that connects, so that both mean the same.
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        # Without the cause, whose text may quote the URL.
        raise StoreAddressError(_UNREADABLE) from None
    address = PostgresAddress({**_variables(), **{name: str(value) for name, value in parameters.items()}})
    _require_known(address)
    return address


def _variables() -> Mapping[str, str]:
    """Return what libpq takes from variables, such as PGHOST, where a URL does not say it."""
    said = [
        (option.keyword, option.val)
        for option in Conninfo.get_defaults()
        if os.fsdecode(option.envvar or b"") in os.environ
    ]
    return {os.fsdecode(name): os.fsdecode(value) for name, value in said if value}


def _require_known(address: PostgresAddress) -> None:
    parameters = address.parameters
    if not _PORTS.match(parameters.get("port", "")):
        raise StoreAddressError(_UNREADABLE)
    try:
        address.servers  # noqa: B018 - raises where the lists do not fit
    except ValueError:
        raise StoreAddressError("the URL of the store must have one port, or as many as hosts") from None
    if "service" in parameters:
        raise StoreAddressError("the URL of the store cannot name a service: write the parameters of the service")
    for name, known in (("sslmode", _SSL_MODES), ("target_session_attrs", _PRIMARIES)):
        if parameters.get(name, known[0]) not in known:
            variable = f"PG{name.upper().replace('_', '')}"
            raise StoreAddressError(f"{name} in the URL of the store, or {variable}, must be one of {', '.join(known)}")


def _is_local(host: str) -> bool:
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
