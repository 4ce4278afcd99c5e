"""Everything that can be set, with its meaning, its default and its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.times import MAX_LEEWAY
from tokenauthority.signing.hsm_uri import TokenUri


PREFIX: Final = "TOKENAUTHORITY_"

_PORT: Final = r"(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})"
_ADDRESS: Final = rf"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):{_PORT}$"

_ISSUER: Final = r"^https?://[^\s/?#@]+(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
"""A URL that no client writes in another way: verifiers compare it byte for byte, and add paths of their own to it."""

Port = Annotated[str, Field(pattern=_ADDRESS)]
PortOrOff = Annotated[str, Field(pattern=rf"^off$|{_ADDRESS}")]
PortOrSocket = Annotated[str, Field(pattern=rf"^unix:[^\x00-\x20]+$|{_ADDRESS}")]


def _provider(uri: str) -> str:
    """Looked at before anything shows the settings, because somebody may have put a PIN into it."""
    if uri:
        try:
            TokenUri.parse(uri)
        except ValueError as error:
            raise PydanticCustomError("key_provider", "{problem}", {"problem": str(error)}) from None
    return uri


Provider = Annotated[str, AfterValidator(_provider)]
Credential = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$")]
TrustDomain = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,255}$")]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class ListenSettings(_Group):
    """Where the servers listen."""

    grpc: PortOrOff = "127.0.0.1:50051"
    """gRPC with TLS for callers who send API keys or JWTs: host and port, or `off`. Port 0 picks a free one."""
    mtls: Port | None = None
    """gRPC for callers who show a SPIFFE certificate: host and port. Not with --dev."""
    sidecar: PortOrSocket | None = None
    """gRPC in plaintext for a proxy that ends mTLS and sends `x-forwarded-client-cert`: `unix:PATH`, or a loopback
    address and port. Whoever can connect can say to be any caller. Not with --dev."""
    http: Port = "127.0.0.1:8080"
    """HTTP (JWKS, health, metrics; nothing secret): host and port. Port 0 picks a free one."""
    http_plaintext: bool = False
    """HTTP without TLS: only behind a proxy that ends it, for whoever changes the JWKS can sign. --dev always does."""
    reflection: bool = False
    """Whether gRPC reflection shows the contract to anyone who can connect."""


class TlsSettings(_Group):
    """The certificate of listen.grpc."""

    cert_file: Path | None = None
    """PEM: the certificate, then its intermediates. Required outside of --dev, but where listen.grpc is off."""
    key_file: Path | None = None
    """PEM: its private key. Required outside of --dev, but where listen.grpc is off."""


class MtlsSettings(_Group):
    """The certificates of listen.mtls."""

    source: Literal["files", "workload-api"] | None = None
    """`files`, or `workload-api`: the SPIFFE Workload API at SPIFFE_ENDPOINT_SOCKET. Default: workload-api where that
    is set and no file is, else files."""
    cert_file: Path | None = None
    """PEM: the server's certificate, then its intermediates."""
    key_file: Path | None = None
    """PEM: its private key."""
    bundle_file: Path | None = None
    """PEM: the CAs whose certificates callers may show."""
    trust_domain: TrustDomain | None = None
    """The only trust domain whose callers are taken. Default: with the Workload API the server's own, else any."""

    @property
    def files(self) -> dict[str, Path | None]:
        """The three files, by the names of their settings."""
        return {"cert_file": self.cert_file, "key_file": self.key_file, "bundle_file": self.bundle_file}


class DatabaseSettings(_Group):
    """The store."""

    url: SecretStr | None = None
    """`sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`. Default: tokenauthority.db in data_dir."""
    poll_interval: Annotated[float, Field(ge=0.05, le=60)] = 0.25
    """Seconds between two looks at what other servers of the same store have changed."""


class IssuanceSettings(_Group):
    """What is in the tokens."""

    issuer: Annotated[str, Field(max_length=255, pattern=_ISSUER)] = "http://127.0.0.1:8080"
    """`iss` of SESSION_JWT: where the HTTP face is reached. Required, https://, outside of --dev; there from http."""
    leeway: Annotated[int, Field(ge=0, le=MAX_LEEWAY)] = 30
    """Seconds by which clocks may differ when a token is verified."""
    jwks_max_age: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Seconds for which the JWKS may be cached, at the most; it is less when a key is about to change."""
    max_staleness: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """Seconds for which VerifyToken answers while the store cannot be read; then it is UNAVAILABLE, because a token
    that was taken back on another server would pass."""


class KeySettings(_Group):
    """The signing keys and the master key that seals them."""

    master_key: SecretStr | None = None
    """32 bytes in base64 or hex. This, master_key_file or master_key_credential is required outside of --dev."""
    master_key_file: Path | None = None
    """A file that holds the master key."""
    master_key_credential: Credential | None = None
    """The name of a systemd credential that holds the master key, such as that of `LoadCredential=NAME:PATH`."""
    previous_master_key: SecretStr | None = None
    """A second master key, which only opens: the next one, or the last one, while the master key is changed."""
    previous_master_key_file: Path | None = None
    """A file that holds it."""
    previous_master_key_credential: Credential | None = None
    """The name of a systemd credential that holds it."""
    algorithm: Algorithm = Algorithm.ES256
    """ES256, EdDSA or RS256: what a new signing key signs with."""
    rotation_period: Annotated[int, Field(ge=1, le=31_536_000)] = 2_592_000
    """Seconds for which a signing key signs before the next one takes its place. At least 86400 outside of --dev: each
    stays in the JWKS for 30 days and a quarter of the period longer, until its last token has expired."""
    provider: Provider = ""
    """Where a new signing key lives: `pkcs11:token=LABEL?module-path=/PATH.so&pin-source=file:/PATH` (RFC 7512).
    Default: sealed in the store."""
    provider_pin: SecretStr | None = None
    """The PIN for provider, where that has no pin-source."""


class CallersSettings(_Group):
    """Who may call."""

    file: Path | None = None
    """callers.toml. Required outside of --dev."""
    jwks_refresh: Annotated[int, Field(ge=60, le=3600)] = 300
    """Seconds between two fetches of an issuer's jwks_url, beside one a minute for keys that are not known yet."""
    jwks_max_stale: Annotated[int, Field(ge=3600, le=604_800)] = 86_400
    """Seconds for which an issuer's keys are used while new ones cannot be had."""


class AuditSettings(_Group):
    """The audit log."""

    path: Path | None = None
    """The file that records are appended to. Default: audit.jsonl in data_dir."""
    key_file: Path | None = None
    """The Ed25519 key (PEM) that signs checkpoints; made if absent. Default: audit-key.pem in data_dir."""
    durability: Literal["fsync", "write"] = "fsync"
    """`fsync`: an answer leaves when its record is on the disk. `write`: when the operating system has it."""
    max_bytes: Annotated[int, Field(ge=65_536)] | Literal[0] = 256 * 1024 * 1024
    """Size at which the file is given another name and a new one begun; 0 leaves that to logrotate and SIGHUP."""
    checkpoint_interval: Annotated[float, Field(ge=1, le=60)] = 60.0
    """Seconds that a record may be without a signed checkpoint after it."""


class LoggingSettings(_Group):
    """The operational log, on standard error."""

    format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for a person (the default with --dev)."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important events that are logged."""


class LimitSettings(_Group):
    """What the server takes on."""

    max_concurrent_rpcs: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Unary RPCs answered at once."""
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """Streams open at once, such as those that watch revocations."""
    max_streams_per_caller: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Of them, those of one caller: with all its servers behind one key, it must not shut out the others."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """Connections open at once."""
    failed_auth_rate: Annotated[float, Field(ge=0.001, le=10_000)] = 1.0
    """Failed authentications per second of one address (IPv6: of one /64) that are answered and recorded one by one."""
    failed_auth_burst: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many of them at once. Beyond that its credentials are looked at as suspect_rate allows, and only counted."""
    suspect_rate: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Credentials looked at per second, of all addresses together that have failed too often; those that were good
    before are never held back."""
    recorded_refusals_rate: Annotated[float, Field(ge=0.001, le=10_000)] = 2.0
    """Audit records per second of calls without a caller, of all addresses together; the others are summarised."""
    recorded_refusals_burst: Annotated[int, Field(ge=1, le=100_000)] = 200
    """How many of them at once."""
    max_deadline: Annotated[float, Field(gt=0, le=300)] = 30.0
    """Seconds that a unary RPC may take, also where its caller sets no deadline."""
    max_connection_idle: Annotated[int, Field(ge=1)] = 900
    """Seconds after which a connection without RPCs is closed."""
    max_connection_age: Annotated[int, Field(ge=1)] = 1800
    """Seconds after which a connection is closed once its RPCs are done, so that load spreads to new servers."""
    max_revocations: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000_000
    """Revocations in force at once, about 110 bytes of memory each; beyond that RevokeTokens is RESOURCE_EXHAUSTED."""
    watch_buffer: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Revocations that a reader of WatchRevocations may be behind before it has to resume."""
    watch_heartbeat: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    """Seconds between two signs of life to those who watch."""
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
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings = TlsSettings()
    mtls: MtlsSettings = MtlsSettings()
    database: DatabaseSettings = DatabaseSettings()
    issuance: IssuanceSettings = IssuanceSettings()
    keys: KeySettings = KeySettings()
    callers: CallersSettings = CallersSettings()
    audit: AuditSettings = AuditSettings()
    logging: LoggingSettings = LoggingSettings()
    limits: LimitSettings = LimitSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
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
    def publication(self) -> float:
        """Seconds for which a key is published before it signs: a cache lifetime, and how far servers may differ."""
        return self.issuance.jwks_max_age + self.issuance.leeway + 2 * self.database.poll_interval

    @property
    def audit_path(self) -> Path:
        """The audit log's file."""
        return self.audit.path or self.data_dir / "audit.jsonl"

    @property
    def audit_key_path(self) -> Path:
        """The file of the key that signs the audit log's checkpoints."""
        return self.audit.key_file or self.data_dir / "audit-key.pem"
