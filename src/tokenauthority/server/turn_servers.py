"""Read from the settings which TURN servers there are, and what makes credentials that they accept."""

from __future__ import annotations

from tokenauthority.authority.turn import TurnServers
from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.config.turn import read_turn
from tokenauthority.signing.turn import TurnSigner


def turn_servers_of(settings: Settings) -> TurnServers | None:
    """Return the TURN servers, or None if the settings name none; raise ConfigError if a setting is not valid."""
    secrets, problems = read_turn(settings.turn)
    if problems:
        raise ConfigError(problems)
    return TurnServers(tuple(settings.turn.urls.split()), TurnSigner(secrets[0])) if secrets else None
