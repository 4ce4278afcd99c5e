"""The settings of a server, read once, in the composition root."""

from __future__ import annotations

from tokenauthority.config.listeners import OFF, UNIX, endpoint_socket, uses_workload_api
from tokenauthority.config.loading import ConfigError, describe, load, problems_of, read
from tokenauthority.config.settings import Logging, Settings, Tls


__all__ = [
    "OFF",
    "UNIX",
    "ConfigError",
    "Logging",
    "Settings",
    "Tls",
    "describe",
    "endpoint_socket",
    "load",
    "problems_of",
    "read",
    "uses_workload_api",
]
