"""The settings of a server, read once, in the composition root."""

from __future__ import annotations

from tokenauthority.config.listeners import OFF, UNIX, endpoint_socket, uses_workload_api
from tokenauthority.config.loading import ConfigError, describe, load, problems_of, read
from tokenauthority.config.master_keys import (
    MasterKeySource,
    MasterKeySourceError,
    previous_key_settings,
    problems_of_master_keys,
    sources_of,
)
from tokenauthority.config.settings import LoggingSettings, Settings, TlsSettings


__all__ = [
    "OFF",
    "UNIX",
    "ConfigError",
    "LoggingSettings",
    "MasterKeySource",
    "MasterKeySourceError",
    "Settings",
    "TlsSettings",
    "describe",
    "endpoint_socket",
    "load",
    "previous_key_settings",
    "problems_of",
    "problems_of_master_keys",
    "read",
    "sources_of",
    "uses_workload_api",
]
