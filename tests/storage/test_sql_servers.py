"""The records of running servers: what `ServerStore` promises, held for every store."""

from __future__ import annotations

from tests.storage.builders import NOW, later
from tokenauthority.domain.server_record import RECORD_PERIOD, ServerRecord
from tokenauthority.storage.store import Store


async def test_a_server_sees_the_others(store: Store) -> None:
    """As they were last reported, and not itself."""
    one, other = ServerRecord("a", NOW, {"issuer": "é"}), ServerRecord("b", later(1), {"issuer": "x", "algorithm": "y"})

    assert [] == await store.report_server(one)
    assert [one] == await store.report_server(other)
    assert [other] == await store.report_server(ServerRecord("a", later(2), {}))
    assert [ServerRecord("a", later(2), {})] == await store.report_server(other)


async def test_a_server_that_stops_is_seen_no_more(store: Store) -> None:
    """To remove it twice does no harm."""
    await store.report_server(ServerRecord("a", NOW, {}))
    for _ in range(2):
        await store.remove_server("a")

    assert [] == await store.report_server(ServerRecord("b", NOW, {}))


async def test_a_server_that_was_killed_counts_for_a_minute(store: Store) -> None:
    """Its record counts for as long as nobody can know that it is dead."""
    dead = ServerRecord("a", NOW, {})
    await store.report_server(dead)

    assert [dead] == await store.report_server(ServerRecord("b", later(RECORD_PERIOD), {}))
    assert [] == await store.report_server(ServerRecord("b", later(RECORD_PERIOD + 1), {}))
