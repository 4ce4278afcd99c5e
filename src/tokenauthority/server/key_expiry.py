"""Warn of API keys that expire soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.times import DAY, Millis, Seconds, as_text, in_millis, whole_seconds


_AHEAD: Final = in_millis(Seconds(14 * DAY))
"""How long before the expiry of a key the log warns of it, in milliseconds."""

_REPEAT: Final = in_millis(Seconds(DAY))


class KeyExpiry:
    """Looks at the API keys of the callers file that counts. The log has a line for each such key once a day."""

    def __init__(self, callers: CurrentCallers, clock: Callable[[], Millis]) -> None:
        self._callers = callers
        self._clock = clock
        self._warned: dict[str, Millis] = {}
        self._logger = structlog.stdlib.get_logger(__name__)

    async def look(self) -> None:
        """Warn of each key that expires within 14 days, or has expired."""
        now = self._clock()
        due = [
            each for each in self._callers.registry.entries if each.expires is not None and each.expires < now + _AHEAD
        ]
        warned = {}
        for entry in due:
            identity, expires = str(entry.identity), entry.expires or now
            last = self._warned.get(identity)
            if last is None or not last <= now < last + _REPEAT:
                name, time = entry.caller.name, as_text(whole_seconds(expires))
                if expires <= now:
                    self._logger.warning("callers.key_expired", caller=name, api_key=identity, expires=time)
                else:
                    self._logger.warning("callers.key_expires_soon", caller=name, api_key=identity, expires=time)
                last = now
            warned[identity] = last
        self._warned = warned
