"""Combine the groups of settings, and say where their values come from and what follows from several of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokenauthority.config.group import refuse_nul
from tokenauthority.config.groups import (
    AuditSettings,
    CallersSettings,
    DatabaseSettings,
    IssuanceSettings,
    KeySettings,
    LimitSettings,
    ListenSettings,
    LoggingSettings,
    MtlsSettings,
    PlatformSettings,
    TlsSettings,
    TurnSettings,
)
from tokenauthority.config.telemetry_settings import TelemetrySettings
from tokenauthority.storage.address import SqliteAddress, StoreAddress, parse_address


PREFIX: Final = "TOKENAUTHORITY_"


class Settings(BaseSettings):
    """The settings of a server. A group's fields are variables such as TOKENAUTHORITY_LISTEN__GRPC."""

    _no_nul = field_validator("*", mode="before")(refuse_nul)

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    dev: bool = False
    """Set by --dev: plaintext on loopback, everything created on first start. Never from a variable or file."""
    dev_api_key: SecretStr | None = None
    """Set by --dev-api-key."""
    config_file: Path | None = None
    """Set by --config."""
    config_holds_secret: bool = False
    """Whether that file gives a value that `config show` hides."""
    data_dir: Path = Path("/var/lib/tokenauthority")
    """Directory of the SQLite database and the audit log, unless their settings name other files. Default with --dev:
    `./.tokenauthority`."""
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings = TlsSettings()
    mtls: MtlsSettings = MtlsSettings()
    database: DatabaseSettings = DatabaseSettings()
    issuance: IssuanceSettings = IssuanceSettings()
    keys: KeySettings = KeySettings()
    platform: PlatformSettings = PlatformSettings()
    turn: TurnSettings = TurnSettings()
    callers: CallersSettings = CallersSettings()
    audit: AuditSettings = AuditSettings()
    logging: LoggingSettings = LoggingSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    limits: LimitSettings = LimitSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - an override: pydantic-settings passes all five by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - an override: pydantic-settings passes all five by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - an override: pydantic-settings passes all five by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over the file, whose values are handed to the constructor."""
        return (env_settings, init_settings)

    @property
    def store_address(self) -> StoreAddress:
        """Where the store is; StoreAddressError: database.url is not the URL of a store."""
        if self.database.url is not None:
            return parse_address(self.database.url.get_secret_value())
        return SqliteAddress(self.data_dir / "tokenauthority.db")

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
