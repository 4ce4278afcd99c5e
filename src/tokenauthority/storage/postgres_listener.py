"""Hear from PostgreSQL that a server has committed changes, over one connection of its own.

The polls of the followers find every change without it; it only makes them look sooner.
"""

from __future__ import annotations

import asyncio

from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from tokenauthority.outage import Outage
from tokenauthority.storage.address import PostgresAddress
from tokenauthority.storage.database import StoreLimits
from tokenauthority.storage.failures import cause_of
from tokenauthority.storage.postgres_connection import TimedConnection, connector
from tokenauthority.threads import BlockingPool, PoolError


CHANNEL: Final = "tokenauthority_changes"
"""The channel of the notifications, which have no content."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
"""Seconds before the next attempt to connect: the first, doubled at each further one, at most the longest."""

_GAP: Final = 0.02
"""Seconds between two calls at least: a store in which much changes must not be read without a pause."""

_CLOSING: Final = 1.0
"""Seconds that a connection which is just being made has at a stop."""


class PostgresListener:
    """Calls *heard* soon after each commit of a change, whichever server made it, and after each gap in listening.

    A pooler gives each transaction, perhaps, another session, and a session that listens for nobody would stay behind.
    So through a pooler it does not listen.
    """

    def __init__(self, address: PostgresAddress, limits: StoreLimits, heard: Callable[[], None]) -> None:
        self._connect = connector(address, limits)
        self._patience = limits.unit_timeout
        self._heard = heard
        self._logger = structlog.stdlib.get_logger(__name__)
        self._outage = Outage(
            self._logger, "store.listener_lost", recovered="store.listener_recovered", level="warning"
        )
        self._next_call = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Listen until cancelled; a connection that is lost is reported, and made again."""
        pool, pause, loop = BlockingPool("store-listener"), _FIRST_PAUSE, asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                try:
                    connection = await pool.run(self._open, patience=self._patience, late=_close)
                    if connection is None:
                        self._logger.info("store.not_listening", cause="a pooler stands before PostgreSQL")
                        await asyncio.Event().wait()
                    else:
                        await self._listen(connection)
                except (psycopg.Error, PoolError) as error:
                    self._outage.report("lost", cause=cause_of(error))
                if loop.time() - began > _LONGEST_PAUSE:
                    pause = _FIRST_PAUSE
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await pool.close(_CLOSING)

    def _open(self) -> TimedConnection | None:
        """Return a connection that listens; None: its session is another one's."""
        connection = self._connect()
        try:
            if connection.is_direct:
                connection.execute("SET idle_session_timeout = 0")
                connection.execute(f"LISTEN {CHANNEL}")
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    async def _listen(self, connection: TimedConnection) -> None:
        """Listen until the connection is lost, and raise the error that says so."""
        loop, socket = asyncio.get_running_loop(), connection.pgconn.socket
        lost: asyncio.Future[psycopg.Error] = loop.create_future()
        try:
            loop.add_reader(socket, self._read, connection, lost)
            self._outage.recover()
            self._heard()
            raise await lost
        finally:
            loop.remove_reader(socket)
            _close(connection)

    def _read(self, connection: TimedConnection, lost: asyncio.Future[psycopg.Error]) -> None:
        try:
            connection.pgconn.consume_input()
        except psycopg.Error as error:
            if not lost.done():
                lost.set_result(error)
            return
        notified = False
        while connection.pgconn.notifies():
            notified = True
        if notified and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._next_call), self._call)

    def _call(self) -> None:
        self._timer, self._next_call = None, asyncio.get_running_loop().time() + _GAP
        self._heard()


def _close(connection: TimedConnection | None) -> None:
    if connection is not None:
        connection.close()
