"""A server says where its settings differ from those of another server of its store."""

from __future__ import annotations

from tests.support.faulty_store import FaultyStore
from tests.support.logs import capture_logs
from tokenauthority.authority.agreement import Agreement
from tokenauthority.domain.times import Millis


NOW = Millis(1_800_000_000_000)


def agreement(store: FaultyStore, issuer: str) -> Agreement:
    """A server with this issuer."""
    return Agreement(store, {"ISSUER": issuer, "ALGORITHM": "ES256"}, lambda: NOW)


async def test_logs_where_a_difference_begins_and_ends() -> None:
    """Once each, at both servers; the problem is there meanwhile."""
    store = FaultyStore()
    one, other = agreement(store, "a"), agreement(store, "b")
    with capture_logs() as logs:
        for each in (one, other, one, one, other):
            await each.look()
        problems = [one.problem, other.problem]
        await other.leave()
        for _ in range(2):
            await one.look()

    assert ["another server of the store has another ISSUER"] * 2 == problems
    assert "" == one.problem
    lines = [(line["event"], line.get("setting"), line.get("here"), line.get("there")) for line in logs]
    assert [
        ("settings.differ", "ISSUER", "b", "a"),
        ("settings.differ", "ISSUER", "a", "b"),
        ("settings.agree", None, None, None),
    ] == lines


async def test_a_store_that_is_away_says_nothing_about_settings() -> None:
    """What was known stays; the store reports its own loss."""
    store = FaultyStore()
    one, other = agreement(store, "a"), agreement(store, "b")
    await other.look()
    await one.look()
    store.fail("report_server", "remove_server")
    await one.look()
    await other.leave()

    assert "another server of the store has another ISSUER" == one.problem
