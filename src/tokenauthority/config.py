"""The settings: read once and checked whole, from `TOKENAUTHORITY_*` variables, else a TOML file, else defaults."""

from __future__ import annotations

import os
import re
import tomllib

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokenauthority.domain.key import Algorithm


PREFIX: Final = "TOKENAUTHORITY_"

CLIENT_VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        "ADDRESS",
        "API_KEY",
        "API_KEY_FILE",
        "CA_FILE",
        "PLAINTEXT",
        "PROJECT_ID",
        "TIMEOUT",
        "JSON",
    )
)
"""Variables of the client and the command line, which share the prefix."""

TEST_VARIABLES: Final = frozenset({PREFIX + "SHARED", PREFIX + "TEST_POSTGRES"})

_ADDRESS: Final = r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"
_LOOPBACK: Final = re.compile(r"^(127\.[0-9.]+|localhost|\[::1\]):[0-9]{1,5}$")

Port = Annotated[str, Field(pattern=_ADDRESS)]


class ConfigError(Exception):
    """The settings are not complete or not valid; `problems` names every one, without the values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("cannot start:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = tuple(problems)


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class Listen(_Group):
    """Where the servers listen."""

    grpc: Port = "127.0.0.1:50051"
    """gRPC: host and port. Port 0 picks a free one."""
    http: Port = "127.0.0.1:8080"
    """HTTP (JWKS, health, metrics; nothing secret): host and port. Port 0 picks a free one."""
    reflection: bool = False
    """Whether gRPC reflection shows the contract to anyone who can connect."""


class Tls(_Group):
    """The server's certificate."""

    cert_file: Path | None = None
    """PEM: the certificate, then its intermediates. Required outside of --dev."""
    key_file: Path | None = None
    """PEM: its private key. Required outside of --dev."""


class Database(_Group):
    """The store."""

    url: SecretStr | None = None
    """`sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`. Default: tokenauthority.db in data_dir."""
    poll_interval: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    """Seconds between two looks at what other servers of the same store have changed."""


class Issuance(_Group):
    """What is in the tokens."""

    issuer: Annotated[str, Field(min_length=1, max_length=255)] = "http://127.0.0.1:8080"
    """`iss` of SESSION_JWT: the URL under which the HTTP face can be reached. Required outside of --dev."""
    leeway: Annotated[int, Field(ge=0, le=300)] = 30
    """Seconds by which clocks may differ when a token is verified."""
    jwks_max_age: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Seconds for which the JWKS may be cached."""


class Keys(_Group):
    """The signing keys and the master key that seals them."""

    master_key: SecretStr | None = None
    """32 bytes in base64 or hex. This or master_key_file is required outside of --dev."""
    master_key_file: Path | None = None
    """A file that holds the master key."""
    algorithm: Algorithm = Algorithm.ES256
    """ES256, EdDSA or RS256: what a new signing key signs with."""


class Callers(_Group):
    """Who may call."""

    file: Path | None = None
    """callers.toml. Required outside of --dev."""


class Audit(_Group):
    """The audit log."""

    path: Path | None = None
    """The file that records are appended to. Default: audit.jsonl in data_dir."""


class Logging(_Group):
    """The operational log, on standard error."""

    format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for a person (the default with --dev)."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important events that are logged."""


class Limits(_Group):
    """What the server takes on."""

    max_concurrent_rpcs: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Unary RPCs answered at once."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """Connections open at once."""
    max_deadline: Annotated[float, Field(gt=0, le=300)] = 30.0
    """Seconds that a unary RPC may take, also where its caller sets no deadline."""
    max_connection_idle: Annotated[int, Field(ge=1)] = 900
    """Seconds after which a connection without RPCs is closed."""
    max_connection_age: Annotated[int, Field(ge=1)] = 1800
    """Seconds after which a connection is closed once its RPCs are done, so that load spreads to new servers."""
    drain_delay: Annotated[float, Field(ge=0, le=300)] = 0.0
    """Seconds between NOT_SERVING and the first refused connection at a stop: how long a balancer takes to notice."""
    drain_grace: Annotated[float, Field(ge=0, le=300)] = 15.0
    """Seconds that RPCs in flight have to finish at a stop."""


class Settings(BaseSettings):
    """Everything that can be set. A group's fields are variables such as TOKENAUTHORITY_LISTEN__GRPC."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    dev: bool = False
    """Set by --dev: plaintext on loopback, everything made on first start. Never from a variable or file."""
    dev_api_key: SecretStr | None = None
    """Set by --dev-api-key."""
    data_dir: Path = Path("/var/lib/tokenauthority")
    """Where the embedded database and the audit log are, unless they are set. `./.tokenauthority` with --dev."""
    listen: Listen = Listen()
    tls: Tls = Tls()
    database: Database = Database()
    issuance: Issuance = Issuance()
    keys: Keys = Keys()
    callers: Callers = Callers()
    audit: Audit = Audit()
    logging: Logging = Logging()
    limits: Limits = Limits()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings fixes the parameters
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over the file, whose values are handed to the constructor."""
        return (env_settings, init_settings)

    @property
    def database_url(self) -> str:
        """The store's URL. It may hold a password."""
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'tokenauthority.db'}"

    @property
    def audit_path(self) -> Path:
        """The audit log's file."""
        return self.audit.path or self.data_dir / "audit.jsonl"


def load(config_file: Path | None = None, *, dev: bool = False, dev_api_key: str | None = None) -> Settings:
    """Read and check the settings.

    Raises:
        ConfigError: it names everything that is missing, unknown or not allowed, all at once.
    """
    values = _read(config_file)
    problems = [
        f"{name} is set in the file; it comes from the command line"
        for name in ("dev", "dev_api_key")
        if name in values
    ]
    if dev:
        values.setdefault("data_dir", Path(".tokenauthority"))
        for group, field, value in (("logging", "format", "text"), ("listen", "reflection", True)):
            table = values.setdefault(group, {})
            if isinstance(table, dict):
                table.setdefault(field, value)
    values["dev"] = dev
    values["dev_api_key"] = dev_api_key
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise ConfigError(problems + _unknown_variables()) from None
    problems += _unknown_variables() + (_unsafe(settings) if dev else _missing(settings))
    if problems:
        raise ConfigError(problems)
    return settings


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """Every variable with its value, where a secret shows as `**********`, and what it means."""
    rows = [(PREFIX + "DATA_DIR", str(settings.data_dir), Settings.model_fields["data_dir"].description or "")]
    for name, group in settings:
        if isinstance(group, BaseModel):
            rows += [
                (
                    f"{PREFIX}{name.upper()}__{field.upper()}",
                    "" if value is None else str(value),
                    type(group).model_fields[field].description or "",
                )
                for field, value in group
            ]
    return rows


def _read(config_file: Path | None) -> dict[str, object]:
    if config_file is None:
        return {}
    try:
        return tomllib.loads(config_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{config_file} cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([f"{config_file} is not valid TOML: {error}"]) from error


def _unknown_variables() -> list[str]:
    """A misspelt variable would otherwise be ignored without a word."""
    known = {PREFIX + "DATA_DIR"} | CLIENT_VARIABLES | TEST_VARIABLES
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            known |= {f"{PREFIX}{name}__{inner}".upper() for inner in field.annotation.model_fields}
    given = {name for name in os.environ if name.upper().startswith(PREFIX)}
    return [f"{name} is not a setting" for name in sorted(given) if name.upper() not in known]


def _missing(settings: Settings) -> list[str]:
    """What is required outside of --dev."""
    problems = []
    for group, field in (("tls", "cert_file"), ("tls", "key_file"), ("callers", "file")):
        path = getattr(getattr(settings, group), field)
        variable = f"{PREFIX}{group}__{field}".upper()
        if path is None:
            problems.append(f"{variable} is required (or {group}.{field} in the file)")
        elif not path.is_file():
            problems.append(f"{variable}: {path} is not a file")
    keys = settings.keys
    if (keys.master_key is None) == (keys.master_key_file is None):
        problems.append(f"exactly one of {PREFIX}KEYS__MASTER_KEY and {PREFIX}KEYS__MASTER_KEY_FILE is required")
    if keys.master_key_file is not None and not keys.master_key_file.is_file():
        problems.append(f"{PREFIX}KEYS__MASTER_KEY_FILE: {keys.master_key_file} is not a file")
    if "issuer" not in settings.issuance.model_fields_set:
        problems.append(f"{PREFIX}ISSUANCE__ISSUER is required (or issuance.issuer in the file)")
    return problems


def _unsafe(settings: Settings) -> list[str]:
    """What --dev must not do: serve plaintext to other machines."""
    return [
        f"{PREFIX}LISTEN__{name.upper()}: --dev listens on loopback only, not on {address}"
        for name, address in (("grpc", settings.listen.grpc), ("http", settings.listen.http))
        if not _LOOPBACK.match(address)
    ]
