"""The metrics show the key ring, the revocations, the watchers, and how old cached data is."""

from __future__ import annotations

import httpx

from prometheus_client.parser import text_string_to_metric_families

from tests.support.authority import RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tokenauthority.client import Authority


def gauges(authority: RunningAuthority) -> dict[str, float]:
    """The values of all metrics, by name and the state of a key."""
    families = text_string_to_metric_families(httpx.get(authority.http_url + "/metrics").text)
    return {
        f"{sample.name.removeprefix('tokenauthority_')} {sample.labels.get('state', '')}".strip(): sample.value
        for family in families
        for sample in family.samples
    }


def test_shows_the_key_that_signs(running_authority: RunningAuthority) -> None:
    """How many keys there are in each state, and when the one that signs must stop."""
    shown = gauges(running_authority)

    assert [1, 0] == [shown[f"signing_keys {state}"] for state in ("active", "revoked")]
    assert running_authority.clock() / 1000 < shown["signing_key_end_seconds"]


def test_shows_revocations_and_watchers(running_authority: RunningAuthority) -> None:
    """Both count what there is now."""
    before = gauges(running_authority)
    with Authority.from_environment(running_authority.environment) as client:
        client.revoke_tokens(subject="bob")
        with client.watch_revocations() as watch:
            next(watch)
            during = gauges(running_authority)
    eventually(lambda: gauges(running_authority)["watchers"] == 0, "the watcher is still counted")

    assert [(0, 0), (1, 1)] == [(shown["revocations"], shown["watchers"]) for shown in (before, during)]


def test_shows_how_old_cached_data_is(start_authority: StartAuthority) -> None:
    """The age grows while the store cannot be read."""
    store = FaultyStore()
    authority = start_authority(store=store)
    store.fail("changes_after")

    eventually(lambda: gauges(authority)["store_age_seconds"] > 0.2, "the age does not grow")
