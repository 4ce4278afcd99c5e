"""Declare the groups of settings: the meaning, default and limits of each. `config show` prints the docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from tokenauthority.config.group import PORT, SettingsGroup
from tokenauthority.contract import MAX_REQUEST_BYTES
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.times import MAX_LEEWAY
from tokenauthority.signing.hsm_uri import TokenUri


_ADDRESS: Final = rf"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):{PORT}$"

_ISSUER: Final = r"^https?://[^\s/?#@]+(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
"""A URL in the one form that all clients write: verifiers compare it byte for byte, and append paths to it."""

_PLATFORM: Final = r"https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*"
"""A base URL, to which `/session/create` is appended: without user, query or a slash at its end."""

Port = Annotated[str, Field(pattern=_ADDRESS)]
PortOrOff = Annotated[str, Field(pattern=rf"^off$|{_ADDRESS}")]
PortOrSocket = Annotated[str, Field(pattern=rf"^unix:[^\x00-\x20]+$|{_ADDRESS}")]


def _provider(uri: str) -> str:
    """Refuse an invalid URI before anything shows the settings, because it may contain a PIN."""
    if uri:
        try:
            TokenUri.parse(uri)
        except ValueError as error:
            raise PydanticCustomError("key_provider", "{problem}", {"problem": str(error)}) from None
    return uri


Provider = Annotated[str, AfterValidator(_provider)]
Credential = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$")]
TrustDomain = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,255}$")]


class ListenSettings(SettingsGroup):
    """The addresses on which the server listens."""

    grpc: PortOrOff = "127.0.0.1:50051"
    """HOST:PORT of gRPC with TLS, for callers who send an API key or a JWT; or `off`. Port 0 takes a free port."""
    mtls: Port | None = None
    """HOST:PORT of gRPC for callers who show a SPIFFE certificate. Default: none. Not with --dev."""
    sidecar: PortOrSocket | None = None
    """Address of gRPC in plaintext, for a proxy that terminates mTLS and sends `x-forwarded-client-cert`: `unix:PATH`,
    or a loopback address and port. Whoever can connect can claim to be any caller. Default: none. Not with --dev."""
    http: Port = "127.0.0.1:8080"
    """HOST:PORT of HTTP for everyone: the JWKS and its discovery. Port 0 takes a free port."""
    ops: Port = "127.0.0.1:8081"
    """HOST:PORT of HTTP for operators: `/livez`, `/readyz` with what fails, and `/metrics`. It asks for no credential,
    so let only probes and scrapers reach it. Port 0 takes a free port."""
    http_api: PortOrOff = "off"
    """HOST:PORT of HTTP/1.1 with TLS, for callers without gRPC who send an API key or a JWT: JSON in the form of the
    Connect protocol; and for official OpenTok SDKs. Port 0 takes a free port. Default: `off`, and 127.0.0.1:8082 with
    --dev."""
    http_plaintext: bool = False
    """Serve listen.http and listen.ops without TLS, but not listen.http_api. Use it only behind a proxy that terminates
    TLS: whoever can change the JWKS on its way can sign tokens. Always on with --dev."""
    reflection: bool = False
    """Serve gRPC reflection, which shows the contract to anyone who can connect. On by default with --dev."""


class TlsSettings(SettingsGroup):
    """The certificate of listen.grpc, listen.http, listen.http_api and listen.ops."""

    cert_file: Path | None = None
    """PEM file with the server's certificate and then its intermediates. Required without --dev, unless listen.grpc and
    listen.http_api are off and listen.http_plaintext is on. Read again when it changes."""
    key_file: Path | None = None
    """PEM file with the private key of tls.cert_file. Required and read again as tls.cert_file."""


class MtlsSettings(SettingsGroup):
    """The certificates of listen.mtls."""

    source: Literal["files", "workload-api"] | None = None
    """Where the certificates come from: `files`, or `workload-api` for the SPIFFE Workload API at
    SPIFFE_ENDPOINT_SOCKET. Default: `workload-api` if that variable is set and no mtls file is, else `files`."""
    cert_file: Path | None = None
    """PEM file with the server's certificate and then its intermediates. Required with `files`."""
    key_file: Path | None = None
    """PEM file with the private key of mtls.cert_file. Required with `files`."""
    bundle_file: Path | None = None
    """PEM file with the CAs that sign the certificates of callers. Required with `files`."""
    trust_domain: TrustDomain | None = None
    """Accept callers of this SPIFFE trust domain only. Default: with the Workload API the server's own trust domain,
    with files any."""

    @property
    def files(self) -> dict[str, Path | None]:
        """The three files, by the names of their settings."""
        return {"cert_file": self.cert_file, "key_file": self.key_file, "bundle_file": self.bundle_file}


class DatabaseSettings(SettingsGroup):
    """The store."""

    url: SecretStr | None = None
    """`sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME?sslmode=verify-full`, with percent-encoded user and
    password; several hosts are `HOST:PORT,HOST:PORT`. Default: the file tokenauthority.db in data_dir."""
    poll_interval: Annotated[float, Field(ge=0.05, le=60)] = 0.25
    """Seconds between two reads of what other servers of the same store have changed. A revocation made on another
    server counts on this one after at most this time, and at once where PostgreSQL notifies of it."""


class IssuanceSettings(SettingsGroup):
    """What tokens contain, and how they are verified."""

    issuer: Annotated[str, Field(max_length=255, pattern=_ISSUER)] = "http://127.0.0.1:8080"
    """The `iss` claim of SESSION_JWT: the URL at which verifiers reach listen.http. Required without --dev, and then it
    begins with https://. Default with --dev: listen.http."""
    leeway: Annotated[int, Field(ge=0, le=MAX_LEEWAY)] = 30
    """Seconds by which the clocks of servers may differ when a token is verified."""
    jwks_max_age: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Seconds for which clients may cache the JWKS. The server sends less when a signing key changes sooner."""
    max_staleness: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """Seconds for which VerifyToken still answers while the store cannot be read. After that it is UNAVAILABLE, because
    it would accept a token that another server has revoked."""


class KeySettings(SettingsGroup):
    """The signing keys, and the master key that encrypts them in the store."""

    master_key: SecretStr | None = None
    """The master key: 32 bytes in base64 or hex. Without --dev, exactly one of keys.master_key, keys.master_key_file
    and keys.master_key_credential is required."""
    master_key_file: Path | None = None
    """File that contains the master key."""
    master_key_credential: Credential | None = None
    """Name of the systemd credential that contains the master key, as in `LoadCredential=NAME:PATH`."""
    previous_master_key: SecretStr | None = None
    """A second master key, which only decrypts. Set it while you change the master key: to the next one, then to the
    previous one."""
    previous_master_key_file: Path | None = None
    """File that contains the second master key."""
    previous_master_key_credential: Credential | None = None
    """Name of the systemd credential that contains the second master key."""
    algorithm: Algorithm = Algorithm.ES256
    """Algorithm of new signing keys: ES256, EdDSA or RS256."""
    rotation_period: Annotated[int, Field(ge=1, le=31_536_000)] = 2_592_000
    """Seconds for which a signing key signs before the next one replaces it; at least 86400 without --dev. A key stays
    in the JWKS for a quarter of the period and 30 days longer, until the last token that it signed has expired."""
    provider: Provider = ""
    """Where new signing keys are created: an HSM as a PKCS#11 URI (RFC 7512), such as
    `pkcs11:token=LABEL?module-path=/PATH.so&pin-source=file:/PATH`. Default: in the store, encrypted."""
    provider_pin: SecretStr | None = None
    """PIN of the HSM, if keys.provider has no pin-source."""


class PlatformSettings(SettingsGroup):
    """The OpenTok or Vonage platform, where it creates the sessions of imported projects."""

    urls: Annotated[str, Field(max_length=4096, pattern=rf"^({_PLATFORM}( {_PLATFORM})*)?$")] = ""
    """Base URLs of platforms, with a space between two, such as `https://api.opentok.com`. A project's `platform_url`
    must be one of them: to no other host does the server send requests that a project's key signs. Default: none."""
    ca_file: Path | None = None
    """PEM file with the CAs that sign the certificates of the platforms. Default: those of the system."""
    attempt_timeout: Annotated[float, Field(ge=0.1, le=30)] = 3.0
    """Seconds for one request to a platform. A CreateSession call makes at most three, within its deadline."""
    max_concurrent: Annotated[int, Field(ge=4, le=10_000)] = 64
    """CreateSession calls that wait for platforms at the same time: of one project a quarter of it, of one caller half.
    At most half of limits.max_concurrent_rpcs, so that a slow platform cannot use all. More are RESOURCE_EXHAUSTED."""

    @property
    def allowed_urls(self) -> frozenset[str]:
        """The base URLs."""
        return frozenset(self.urls.split())


class TurnSettings(SettingsGroup):
    """The TURN servers, such as coturn, for which CreateTurnCredentials makes credentials."""

    urls: Annotated[str, Field(max_length=2560)] = ""
    """URLs of TURN servers (RFC 7065), at most 8 with a space between two, such as
    `turn:turn.example.com:3478?transport=udp`. Clients receive them with their credentials. Default: none."""
    secrets_file: Path | None = None
    """File that contains the secrets that the TURN servers accept, one a line: one, or two during a rotation. The first
    one makes credentials. Required with turn.urls. A secret has 32 to 255 characters: letters, digits and `+/=._~-`."""


class CallersSettings(SettingsGroup):
    """Who may call."""

    file: Path | None = None
    """The callers file, callers.toml. Required without --dev. Read again when it changes, and at SIGHUP."""
    jwks_refresh: Annotated[int, Field(ge=60, le=3600)] = 300
    """Seconds between two fetches of an issuer's jwks_url. A JWT with an unknown key causes one more fetch, at most
    once a minute."""
    jwks_max_stale: Annotated[int, Field(ge=3600, le=604_800)] = 86_400
    """Seconds for which an issuer's keys are still used while the issuer cannot be reached."""


class AuditSettings(SettingsGroup):
    """The audit log."""

    path: Path | None = None
    """File to which audit records are appended. Default: audit.jsonl in data_dir."""
    key_file: Path | None = None
    """PEM file with the Ed25519 key that signs checkpoints; created if absent. Default: audit-key.pem in data_dir."""
    durability: Literal["fsync", "write"] = "fsync"
    """When an answer may leave: with `fsync` once its record is on the disk, with `write` once the operating system has
    the record, which a power failure can lose."""
    max_bytes: Annotated[int, Field(ge=65_536)] | Literal[0] = 256 * 1024 * 1024
    """Bytes at which the file is renamed and a new one begins. 0 leaves rotation to logrotate and SIGHUP."""
    checkpoint_interval: Annotated[float, Field(ge=1, le=60)] = 60.0
    """Seconds after which a record is covered by a signed checkpoint, at the latest."""


class LoggingSettings(SettingsGroup):
    """The operational log, on standard error."""

    format: Literal["json", "text"] = "json"
    """`json` for machines, `text` for people. Default with --dev: `text`."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level of the events that are logged. SIGUSR1 switches a running server to `debug`, and back."""


class LimitSettings(SettingsGroup):
    """The load that the server accepts."""

    max_concurrent_rpcs: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Unary RPCs in progress at the same time. More are RESOURCE_EXHAUSTED."""
    max_concurrent_rpcs_per_caller: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Unary RPCs of one caller in progress at the same time, so that one caller cannot use all of
    limits.max_concurrent_rpcs. An RPC is in progress until its answer is read. More are RESOURCE_EXHAUSTED."""
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """Streams of callers, such as those of WatchRevocations, open at the same time. More are RESOURCE_EXHAUSTED."""
    max_streams_per_caller: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Streams of one caller open at the same time, so that one caller cannot use all of limits.max_streams. Half of it
    by default, because many servers may share one API key."""
    max_receive_memory: Annotated[int, Field(ge=2 * MAX_REQUEST_BYTES, le=2**40)] = 8 * MAX_REQUEST_BYTES
    """Bytes for requests of callers that are being received. Each takes at most 10 MiB, so 80 MiB are 8 of them at the
    same time. More wait, and a request that does not come while others wait is refused."""
    max_message_memory: Annotated[int, Field(ge=18 * MAX_REQUEST_BYTES, le=2**40)] = 20 * MAX_REQUEST_BYTES
    """Bytes for requests that are not answered yet, and for answers that are not read yet. A caller and a connection
    may use two thirds of it. More are RESOURCE_EXHAUSTED. The largest batch takes 120 MiB."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """Connections of each gRPC listener open at the same time. The default is lowered to what the open files of the
    process allow; a value that is set and does not fit keeps the server from starting. Above half of it, the address
    (IPv6: the /64) with most connections loses those that have been idle for longest."""
    failed_auth_rate: Annotated[float, Field(ge=0.001, le=10_000)] = 1.0
    """Failed authentications per second of one address (IPv6: one /64) that get an audit record of their own. Beyond
    this rate the address is throttled: see limits.suspect_rate."""
    failed_auth_burst: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Failed authentications of one address at once, before limits.failed_auth_rate applies."""
    suspect_rate: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Credentials per second that the server verifies for all throttled addresses together: those with more failures
    than limits.failed_auth_rate. Credentials that were valid before are verified without this limit."""
    recorded_refusals_rate: Annotated[float, Field(ge=0.001, le=10_000)] = 2.0
    """Audit records per second for calls without a valid caller, from all addresses together. More calls are counted in
    a summary record each minute."""
    recorded_refusals_burst: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Audit records of such calls at once, before limits.recorded_refusals_rate applies."""
    max_deadline: Annotated[float, Field(gt=0, le=300)] = 30.0
    """Seconds that a unary RPC may take, also if its caller sets a longer deadline or none."""
    max_connection_idle: Annotated[int, Field(ge=1)] = 900
    """Seconds after which a connection without RPCs is closed."""
    max_connection_age: Annotated[int, Field(ge=1)] = 1800
    """Seconds after which a connection is closed, once its RPCs are done. Clients then connect again, so that load
    spreads to new servers."""
    max_revocations: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000_000
    """Revocations in force at the same time. Each takes about 110 bytes of memory. More RevokeTokens calls are
    RESOURCE_EXHAUSTED. A project may hold as many as are still free: alone at most half."""
    watch_buffer: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Events that a reader of WatchRevocations may be behind. Its stream then ends, and it has to resume."""
    watch_heartbeat: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    """Seconds between two heartbeats on each stream of WatchRevocations."""
    drain_delay: Annotated[float, Field(ge=0, le=300)] = 0.0
    """Seconds at a stop between NOT_SERVING and the first refused connection. Set it to the time that a load balancer
    needs to notice."""
    drain_grace: Annotated[float, Field(ge=0, le=300)] = 15.0
    """Seconds at a stop that RPCs in progress have to finish."""
