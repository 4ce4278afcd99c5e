"""Compare the settings that all servers of a store must have alike."""

from __future__ import annotations

import secrets

from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.server_record import ServerRecord, differences
from tokenauthority.domain.times import Millis
from tokenauthority.storage.server_store import ServerStore


class Agreement:
    """Records the *settings* of this server in the store, and reports the other servers that have others.

    A difference stops no server: a setting can be changed server by server, and is then different for a while.
    """

    def __init__(self, store: ServerStore, settings: Mapping[str, str], clock: Callable[[], Millis]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._server_id = secrets.token_hex(8)
        self._different: Mapping[str, str] = {}
        self._logger = structlog.stdlib.get_logger(__name__)

    @property
    def problem(self) -> str:
        """Which settings differ from those of another server; empty if none does."""
        return f"another server of the store has another {', '.join(self._different)}" if self._different else ""

    async def look(self) -> None:
        """Renew the record of this server, and log where a difference begins and where all have ended."""
        with suppress(UnavailableError):
            # The store logs it.
            others = await self._store.report_server(ServerRecord(self._server_id, self._clock(), self._settings))
            different = differences(self._settings, others)
            for name, other in different.items():
                if self._different.get(name) != other:
                    self._logger.error("settings.differ", setting=name, here=self._settings[name], there=other)
            if self._different and not different:
                self._logger.info("settings.agree")
            self._different = different

    async def leave(self) -> None:
        """Remove the record, as this server stops."""
        with suppress(UnavailableError):
            await self._store.remove_server(self._server_id)
