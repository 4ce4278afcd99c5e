"""The readiness of a server names the parts that fail."""

from __future__ import annotations

import httpx
import pytest

from tests.support.authority import NO_TRUST, RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore


def get(authority: RunningAuthority, path: str) -> httpx.Response:
    """Ask the listener that has this path."""
    return httpx.get(
        (authority.http_url if path.startswith("/.well-known/") else authority.ops_url) + path, verify=NO_TRUST
    )


def test_is_alive_and_ready(running_authority: RunningAuthority) -> None:
    """A server that does its work says so to both probes."""
    live, ready = get(running_authority, "/livez"), get(running_authority, "/readyz")

    assert (200, "ok\n") == (live.status_code, live.text)
    assert (200, {"ready": True, "problems": {}, "details": {}}) == (ready.status_code, ready.json())


def test_a_project_that_does_not_open_is_a_detail(running_authority: RunningAuthority) -> None:
    """The server is ready for all others, and somebody should look at it."""
    running_authority.app.readiness._core.tenants._unopened["47000000"] = "sealed by another"
    ready = get(running_authority, "/readyz")

    assert (200, {"projects": "1 cannot be opened, the log says which"}) == (ready.status_code, ready.json()["details"])


def test_is_not_ready_while_it_drains(running_authority: RunningAuthority) -> None:
    """A balancer takes it out; the probe that would restart it stays green."""
    running_authority.app.readiness.drain()
    ready = get(running_authority, "/readyz")

    assert (503, False, {"server": "draining"}) == (
        ready.status_code,
        ready.json()["ready"],
        ready.json()["problems"],
    )
    assert 200 == get(running_authority, "/livez").status_code


@pytest.mark.parametrize(
    ("failure", "problem"),
    [(None, "cannot be read"), (ValueError("canary-3b"), "changes could not be applied, the log says why")],
    ids=["away", "bug"],
)
def test_is_not_ready_once_it_knows_of_no_revocation(
    start_authority: StartAuthority, failure: Exception | None, problem: str
) -> None:
    """A server that has not learned of changes for `max_staleness` verifies nothing: it says so, and recovers."""
    store = FaultyStore()
    authority = start_authority(store=store, settings={"issuance": {"max_staleness": 1}})
    store.fail("changes_after", error=failure)
    eventually(lambda: get(authority, "/readyz").status_code == 503, "the server still calls itself ready")
    ready = get(authority, "/readyz")

    assert {"store": f"{problem}; no token can be verified any more"} == ready.json()["problems"]
    assert not ready.json()["ready"]
    assert (200, 200) == (
        get(authority, "/livez").status_code,
        get(authority, "/.well-known/jwks.json").status_code,
    )
    store.recover()
    eventually(lambda: get(authority, "/readyz").status_code == 200, "the server does not recover")
