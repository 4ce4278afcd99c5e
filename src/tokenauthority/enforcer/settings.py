"""Read the settings of the enforcer from one TOML file, with the keys of the servers from files, and check them all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import attrs

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tokenauthority.config.groups import LoggingSettings, Port, PortOrOff
from tokenauthority.config.listeners import OFF
from tokenauthority.config.loading import ConfigError
from tokenauthority.domain.ids import MAX_PROJECT_ID, is_project_id
from tokenauthority.domain.times import MAX_TTL
from tokenauthority.enforcer.driver import MAX_CONCURRENT
from tokenauthority.enforcer.pending import REFRESHED, Rules
from tokenauthority.files import open_regular
from tokenauthority.toml_text import TomlTextError, parse_toml


_URL: Final = r"^https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_MAX_FILE: Final = 1024 * 1024
_MAX_KEY: Final = 4096
"""Bytes of a file with a key."""


class _StrictTable(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class EnforcerListeners(_StrictTable):
    """The addresses on which the enforcer listens."""

    ops: Port = "127.0.0.1:8091"
    """HOST:PORT of HTTP for operators: `/livez`, `/readyz` with what fails, and `/metrics`. It asks for no credential,
    so let only probes and scrapers reach it. Port 0 takes a free port."""
    webhooks: PortOrOff = "off"
    """HOST:PORT of HTTP for the webhooks of LiveKit, at `/livekit/NAME` for the server NAME; or `off`. LiveKit signs
    them, and whoever repeats one causes nothing but a removal that is due. Port 0 takes a free port."""


class ServerTable(_StrictTable):
    """A real-time server, and the project whose tokens it takes."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    """Name in audit lines, metrics and the path of webhooks: a-z, 0-9 and `-`, at most 32. Each is there once."""
    kind: Literal["livekit", "centrifugo", "mediamtx"]
    """What it is: `livekit`, `centrifugo` or `mediamtx`."""
    url: Annotated[str, Field(max_length=1024, pattern=_URL)]
    """Base URL of its API, without a slash at its end: `https://`, or `http://` on loopback. For MediaMTX that of the
    control API."""
    project_id: str
    """The project. A server that takes the tokens of several projects has an entry for each."""
    token_lifetime: Annotated[int, Field(ge=1, le=MAX_TTL)]
    """Seconds that a token for this server is valid at most: the `max_ttl` of the project, or of the grants that make
    them. For as long, whoever returns after a revocation is removed again, also with a new token. So give tokens a
    short lifetime: 600 is enough for LiveKit, which refreshes the tokens of people who are inside."""
    key: Annotated[str, Field(max_length=255)] = ""
    """Name of the credential: the API key of LiveKit, the user of MediaMTX's API. Not for Centrifugo."""
    key_file: Path | None = None
    """File with the secret: of the API key of LiveKit, the key of Centrifugo's HTTP API, the password of MediaMTX's
    user. Required; for MediaMTX only together with `key`."""
    ca_file: Path | None = None
    """PEM file with the CAs that sign the certificate of the server. Default: those of the system."""
    allow_plaintext: bool = False
    """Allow an `http://` URL that is not on loopback: whoever is on the way can then read the key."""


class EnforcerSettings(_StrictTable):
    """The settings of `tokenauthority enforce`, without a table."""

    data_dir: Path = Path("/var/lib/tokenauthority-enforcer")
    """Directory of the state file `state.json`, of the audit log `audit.jsonl` and of its key. Of one process alone."""
    poll_interval: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    """Seconds between two turns in which people are removed who have returned, while any removal is pending. It is the
    bound where there is no webhook."""
    request_timeout: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    """Seconds for one request to a server."""
    max_concurrent: Annotated[int, Field(ge=1, le=MAX_CONCURRENT)] = 16
    """Requests to one server at the same time."""
    max_pending: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    """Removals that are pending at the same time, for all servers together; each takes about 500 bytes. While there are
    as many, no more revocations are read, and `/readyz` says so."""
    listen: EnforcerListeners = EnforcerListeners()
    logging: LoggingSettings = LoggingSettings()
    servers: Annotated[tuple[ServerTable, ...], Field(min_length=1, max_length=100)]
    """The real-time servers, 1 to 100."""


@attrs.frozen(kw_only=True)
class ServerSettings:
    """One server with the secret that its files hold."""

    table: ServerTable
    secret: str = attrs.field(repr=False)

    @property
    def rules(self) -> Rules:
        """How long people return to it."""
        return Rules(
            server=self.table.name,
            project_id=self.table.project_id,
            lifetime=self.table.token_lifetime * 1000,
            refreshed=REFRESHED if self.table.kind == "livekit" else 0,
        )


def load_settings(path: Path) -> tuple[EnforcerSettings, list[ServerSettings]]:
    """Return the settings and the servers; raise ConfigError with every problem, without values."""
    try:
        with open_regular(path) as file:
            document = parse_toml(file.read(_MAX_FILE))[1]
        settings = EnforcerSettings.model_validate(document)
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}"]) from error
    except TomlTextError as error:
        raise ConfigError([f"{path}:{error.line}: {error}"]) from error
    except ValidationError as error:
        details = [(each["loc"], each["msg"]) for each in error.errors(include_input=False)]
        # Of a list whose entries are all invalid, pydantic also says that it is too short.
        inner = {loc[:length] for loc, _ in details for length in range(len(loc))}
        invalid = [f"{'.'.join(map(str, loc)) or path}: {text}" for loc, text in details if loc not in inner or not loc]
        raise ConfigError(invalid) from None
    servers, problems = [], []
    for number, table in enumerate(settings.servers):
        secret, found = _read_secret(table)
        problems += [f"servers.{number}.{problem}" for problem in [*_problems_of(table), *found]]
        servers.append(ServerSettings(table=table, secret=secret))
    counted = Counter(table.name for table in settings.servers)
    problems += [f"servers: {name} is the name of several" for name, count in counted.items() if count > 1]
    if settings.listen.webhooks != OFF and not any(table.kind == "livekit" for table in settings.servers):
        problems.append("listen.webhooks: there is no server of the kind livekit")
    if problems:
        raise ConfigError(problems)
    return settings, servers


def _problems_of(table: ServerTable) -> list[str]:
    problems = []
    parts = urlsplit(table.url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK and not table.allow_plaintext:
        problems.append("url: must begin with https://, be on loopback, or have allow_plaintext")
    if not is_project_id(table.project_id):
        problems.append(f"project_id: must be a decimal number from 1 to {MAX_PROJECT_ID}")
    if table.kind == "livekit" and not table.key:
        problems.append("key: is required for livekit")
    if table.kind == "centrifugo" and table.key:
        problems.append("key: is not for centrifugo")
    if table.kind == "mediamtx" and bool(table.key) != (table.key_file is not None):
        problems.append("key: goes together with key_file")
    return problems


def _read_secret(table: ServerTable) -> tuple[str, list[str]]:
    """Return the secret of the server, and why it cannot be used."""
    path = table.key_file
    if path is None:
        return "", [] if table.kind == "mediamtx" else ["key_file: is required"]
    try:
        with open_regular(path) as file:
            secret = file.read(_MAX_KEY + 1).strip().decode("ascii")
    except OSError as error:
        return "", [f"key_file: {path} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return "", [f"key_file: {path} holds no key"]
    if not secret or len(secret) > _MAX_KEY or not secret.isprintable():
        return "", [f"key_file: {path} holds no key"]
    return secret, []
