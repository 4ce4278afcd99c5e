"""Reload the callers file when it changes, and refresh the keys of the issuers that it names."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from prometheus_client import CollectorRegistry, Counter

from tokenauthority.callers.file import CallersFile, CallersFileError
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.domain.counts import counted
from tokenauthority.threads import BlockingPool, PoolError


_PATIENCE: Final = 10.0
"""Seconds to read the file."""


class CallersReloader:
    """Loads a new version of *file*; an invalid one leaves the previous version in force.

    Calls *replaced* after each new version. A read of the file has *patience* seconds.
    """

    def __init__(
        self,
        file: CallersFile | None,
        callers: CurrentCallers,
        key_caches: IssuerKeyCaches,
        registry: CollectorRegistry,
        replaced: Callable[[], None],
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._file = file
        self._callers = callers
        self._key_caches = key_caches
        self._replaced = replaced
        self._patience = patience
        self._asked = False
        self.woken: Final = asyncio.Event()
        self._thread = BlockingPool("callers-file")
        self._problems = 0
        self._reloads = Counter(
            "tokenauthority_callers_reloads", "Reloads of the callers file.", ("result",), registry=registry
        )
        for result in ("applied", "refused"):
            self._reloads.labels(result)

    def reload(self) -> None:
        """Have the file read at once, changed or not. Call this on the event loop."""
        self._asked = True
        self.woken.set()

    def details(self) -> Mapping[str, str]:
        """Return what an operator should know although the server works, by part. Names no caller."""
        details = {}
        if self._problems:
            details["callers_file"] = (
                f"not valid ({counted(self._problems, 'problem')}, see the log); the one before is in force"
            )
        return {**details, **self._key_caches.details()}

    async def look(self) -> None:
        """Fetch the issuers' keys that are due, and read the file if it has changed or at a request.

        Raises:
            PoolError: the file cannot be read in time. The next look reads it, changed or not.
        """
        # First: a file system that hangs must not stop the keys from being fetched.
        await self._key_caches.refresh_due()
        asked, self._asked = self._asked, False
        try:
            if self._file is not None and (
                asked or await self._thread.run(self._file.changed, patience=self._patience)
            ):
                await self._load(self._file)
        except PoolError:
            # A read that ends later has no caller any more, and the file then counts as read.
            self._asked = True
            raise

    async def close(self) -> None:
        """Cancel the fetches in progress."""
        await self._key_caches.close()

    async def _load(self, file: CallersFile) -> None:
        logger = structlog.stdlib.get_logger(__name__)
        try:
            registry = await self._thread.run(file.load, patience=self._patience)
        except CallersFileError as error:
            self._problems = len(error.problems)
            self._reloads.labels("refused").inc()
            logger.error("callers.refused", file=str(file.path), problems=[str(problem) for problem in error.problems])  # noqa: TRY400 - an operator's mistake, which a traceback would bury
            return
        self._problems = 0
        self._callers.replace(registry)
        self._replaced()
        self._reloads.labels("applied").inc()
        names = {entry.caller.name for entry in registry.entries}
        logger.info("callers.reloaded", file=str(file.path), callers=len(names), issuers=len(registry.issuers))
