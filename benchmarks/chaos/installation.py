"""The installation under test: two servers on PostgreSQL, one of them behind PgBouncer, and one on SQLite."""

from __future__ import annotations

import contextlib

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs
import trustme

from benchmarks.chaos.deployment import Deployment, server_in
from benchmarks.chaos.servers import ChaosServer
from tests.support.cable import Cable, cable_to
from tests.support.pgbouncer import PgBouncer, running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.production import production_in
from tokenauthority.storage.migrate import migrate


_DATABASE: Final = "postgres"


@attrs.define(kw_only=True)
class Installation(Deployment):
    """The servers, and what they stand on."""

    direct: Cable
    """The address of the primary for the first server."""

    pooled: Cable
    """The address of the primary for the pooler."""

    primary: PostgresServer
    standby: PostgresServer
    pooler: PgBouncer
    first: ChaosServer
    second: ChaosServer
    lite: ChaosServer
    healed: float = 0.0
    """When the last fault was over, by the monotonic clock, that was over before its function returned."""

    @property
    def servers(self) -> tuple[ChaosServer, ...]:
        """All three servers."""
        return self.first, self.second, self.lite

    @property
    def pair(self) -> str:
        """The gRPC target of the two servers with one store."""
        return f"ipv4:{self.first.address},{self.second.address}"

    def start(self, *servers: ChaosServer, **environment: str) -> None:
        """Start servers side by side, and return when all serve."""
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(lambda server: server.start(**environment), servers))


@contextlib.contextmanager
def installation(directory: Path) -> Iterator[Installation]:
    """Everything runs while the block does; nobody calls yet."""
    certificates = trustme.CA()
    with contextlib.ExitStack() as stack:
        production = stack.enter_context(production_in(directory, certificates))
        primary = stack.enter_context(running_postgres())
        migrate(primary.url(_DATABASE))
        standby = stack.enter_context(running_postgres(primary))
        direct = stack.enter_context(cable_to(primary.port))
        pooled = stack.enter_context(cable_to(primary.port))
        pooler = stack.enter_context(running_pgbouncer(pooled))
        url = f"postgresql://postgres@127.0.0.1:{direct.port}/{_DATABASE}"
        made = Installation(
            production=production,
            certificates=certificates,
            direct=direct,
            pooled=pooled,
            primary=primary,
            standby=standby,
            pooler=pooler,
            first=stack.enter_context(server_in(production, "first", DATABASE__URL=url)),
            second=stack.enter_context(server_in(production, "second", DATABASE__URL=pooler.url(_DATABASE))),
            lite=stack.enter_context(server_in(production, "lite")),
        )
        made.write_callers(())
        made.start(*made.servers)
        stack.callback(made.remove_all_callers)
        yield made
