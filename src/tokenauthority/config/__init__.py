"""The settings of a server, read once, in the composition root."""

from __future__ import annotations

from tokenauthority.config.loading import ConfigError, describe, load, problems_of, read
from tokenauthority.config.settings import Logging, Settings, Tls


__all__ = ["ConfigError", "Logging", "Settings", "Tls", "describe", "load", "problems_of", "read"]
