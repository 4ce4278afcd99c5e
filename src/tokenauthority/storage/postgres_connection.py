"""Connect to PostgreSQL so that every wait ends, a primary alone answers, and no session state is assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Self, TypeAlias, TypeVar

import psycopg

from psycopg.abc import Params, PQGen, QueryNoTemplate
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from tokenauthority.domain.counts import counted
from tokenauthority.storage.address import PostgresAddress
from tokenauthority.storage.database import StoreLimits


T = TypeVar("T")

_Row: TypeAlias = tuple[Any, ...]

_IS_STANDBY: Final = "SELECT pg_catalog.pg_is_in_recovery()"
_ABOUT_SESSION: Final = "SELECT current_setting('transaction_read_only')::bool, pg_catalog.pg_backend_pid()"

_LATER: Final = 3.0
"""Seconds by which a connection waits longer for an answer than the server may work on it."""

_NEW: Final = 1.0

_CANCEL_TIMEOUT: Final = 1.0
"""Seconds to ask the server to cancel a statement whose answer nobody waits for any more."""


class AnswerTimeoutError(psycopg.OperationalError):
    """The server has not answered in time; the connection is closed."""


class PrimaryCursor(psycopg.Cursor[_Row]):
    """A cursor whose answers are those of a primary.

    The server that answers says so itself, in the same batch: a pooler may lead to another server with each
    transaction, and reports the parameters of one server, such as `in_hot_standby`, to all its clients.
    """

    def execute(  # type: ignore[override]  # psycopg takes templates too; SQLAlchemy writes none
        self,
        query: QueryNoTemplate,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """Execute as psycopg does; OperationalError: a standby answers outside of a transaction, or to its BEGIN."""
        if self.connection.info.transaction_status is not TransactionStatus.IDLE:
            return super().execute(query, params, prepare=prepare, binary=binary)
        asked: psycopg.Cursor[_Row] = self
        if isinstance(query, str) and query.startswith("BEGIN"):
            # A transaction takes its isolation level before its first query.
            super().execute(f"{query}; {_IS_STANDBY}".encode())
            self.set_result(-1)
        else:
            with self.connection.pipeline():
                asked = psycopg.Cursor(self.connection).execute(_IS_STANDBY)
                super().execute(query, params, prepare=prepare, binary=binary)
        if asked.fetchone() != (False,):
            self.connection.close()
            raise psycopg.OperationalError("the server is in hot standby mode")
        return self


class TimedConnection(psycopg.Connection[_Row]):
    """A connection that waits at most `answer_timeout` seconds for any answer.

    The server's own timeout ends slow statements; this one also ends the wait for a server, or for something on the
    way to the server, that has stopped and still holds the connection open.
    """

    answer_timeout: float
    made: float
    """When the connection was made, on the monotonic clock."""

    is_direct: bool = False
    """Whether its session was its own when it was made; through a pooler the session is another one's."""

    @property
    def is_new(self) -> bool:
        """Whether the connection was made less than a second ago: another one would find its server alike."""
        return monotonic() - self.made < _NEW

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does, but not for ever; AnswerTimeoutError: the connection is closed."""
        return super().wait(self._limited(gen), interval, timeout)

    def _limited(self, gen: PQGen[T]) -> PQGen[T]:
        end = monotonic() + self.answer_timeout
        try:
            waits_for = next(gen)
            while True:
                # psycopg resumes it at each interval, with nothing ready.
                ready = yield waits_for
                if not ready and monotonic() > end:
                    break
                waits_for = gen.send(ready)
        except StopIteration as answer:
            result: T = answer.value
            return result
        if self.is_direct:
            # Not through a pooler: several requests at once end PgBouncer 1.18 ("bad client state").
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=_CANCEL_TIMEOUT)
        self.close()
        raise AnswerTimeoutError(f"statement timeout: no answer within {counted(self.answer_timeout, 'second')}")


def connector(address: PostgresAddress, limits: StoreLimits) -> Callable[[], TimedConnection]:
    """Return what makes a connection to the primary; a parameter of *address* overrides most of ours."""
    parameters: dict[str, str] = {
        "connect_timeout": str(max(2, round(limits.connect_timeout))),
        "application_name": "tokenauthority",
        # A server that disappears without closing its connections is noticed in some ten seconds instead of hours.
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
        **address.parameters,
        # libpq would believe what is reported to it. See `PrimaryCursor`.
        "target_session_attrs": "any",
        # By default it is that of the database, and psycopg returns bytes for texts of SQL_ASCII.
        "client_encoding": "UTF8",
    }
    must_write = address.parameters.get("target_session_attrs") == "read-write"

    def connect_to(server: Mapping[str, str]) -> TimedConnection:
        connection = TimedConnection.connect(
            make_conninfo("", **{**parameters, **server}),
            autocommit=True,
            cursor_factory=PrimaryCursor,
            # A statement that is prepared in one session does not exist in the next one that a pooler gives.
            prepare_threshold=None,
        )
        connection.answer_timeout = limits.statement_timeout + _LATER
        connection.made = monotonic()
        _examine(connection, must_write=must_write)
        return connection

    def connect() -> TimedConnection:
        *others, last = address.servers
        for server in others:
            with suppress(psycopg.OperationalError):
                return connect_to(server)
        return connect_to(last)

    return connect


def _examine(connection: TimedConnection, *, must_write: bool) -> None:
    """Note what kind of session it has; OperationalError, and it is closed: the session takes no writes, and must."""
    takes_no_writes, pid = connection.execute(_ABOUT_SESSION).fetchone() or (True, 0)
    connection.is_direct = pid == connection.info.backend_pid
    if takes_no_writes and must_write:
        connection.close()
        raise psycopg.OperationalError("session is read-only")
