"""The bounds of a store: how many connections, how long each wait may take, how much work may queue."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class StoreLimits:
    """Every wait of a store ends; times are in seconds. What a bound cuts off becomes an `UnavailableError`."""

    pool_size: int = 10
    """Connections to PostgreSQL of one process, and threads that use them. SQLite has one writer whatever this says."""

    connect_timeout: float = 5.0
    """To reach PostgreSQL. libpq rounds it up to at least 2 seconds and counts it for each address of the host."""

    statement_timeout: float = 5.0
    """For one statement on PostgreSQL, waits for locks included; carried out by the server."""

    busy_timeout: float = 5.0
    """For SQLite's write lock while another process holds it."""

    unit_timeout: float = 15.0
    """For one unit of work as its caller sees it, time in the queue included. It may still be committed afterwards."""

    max_waiting: int = 1000
    """Units of work that run or wait at once; more are refused at once, so that a slow disk cannot fill the memory."""
