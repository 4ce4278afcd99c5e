"""Operators see health and metrics on a listener of their own, whatever they cost."""

from __future__ import annotations

import httpx
import pytest

from prometheus_client import CollectorRegistry, Gauge

from tests.support.authority import NO_TRUST, RunningAuthority
from tests.support.wire import LIST_PROJECTS, Connect
from tokenauthority.server.health import Facts, assess
from tokenauthority.web.ops import make_ops_app


PATHS = ("/livez", "/readyz", "/metrics")


def get(authority: RunningAuthority, path: str) -> httpx.Response:
    """Ask the operators' listener."""
    return httpx.get(authority.ops_url + path, verify=NO_TRUST)


def test_shows_metrics(running_authority: RunningAuthority, connect: Connect) -> None:
    """In the format of Prometheus: ours, and those of the process."""
    connect(running_authority).call(LIST_PROJECTS)
    answer = get(running_authority, "/metrics")

    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert (
        f'tokenauthority_rpcs_total{{code="OK",method="{LIST_PROJECTS}",transport="grpc"}} 1.0'
        in answer.text.splitlines()
    )
    assert "process_resident_memory_bytes" in answer.text


async def test_collects_metrics_at_a_bounded_rate() -> None:
    """Ten at once, and one in a second after them. Whoever asks more often gets the last ones again."""
    now, registry = [0.0], CollectorRegistry()
    collections = iter(range(1000))
    Gauge("collections", "How often.", registry=registry).set_function(lambda: next(collections))
    app = make_ops_app(lambda: assess(Facts()), registry, lambda: now[0])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops") as client:
        first = {(await client.get("/metrics")).text for _ in range(50)}
        now[0] = 2.0
        second = {(await client.get("/metrics")).text for _ in range(50)}

    assert (10, 2) == (len(first), len(second - first))


@pytest.mark.parametrize("path", PATHS)
def test_the_public_listener_shows_strangers_none_of_it(running_authority: RunningAuthority, path: str) -> None:
    """It says where to ask instead, so that an old configuration of a probe explains itself."""
    answer = httpx.get(running_authority.http_url + path, verify=NO_TRUST)

    assert (404, "probes and metrics are on the address of listen.ops\n") == (answer.status_code, answer.text)


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/", "/readyz/x"])
def test_has_nothing_else(running_authority: RunningAuthority, path: str) -> None:
    """What everyone may have is on the public listener."""
    assert 404 == get(running_authority, path).status_code


def test_takes_no_other_methods(running_authority: RunningAuthority) -> None:
    """Nothing can be sent to it."""
    codes = {
        httpx.request(method, running_authority.ops_url + path, verify=NO_TRUST).status_code
        for path in PATHS
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    }

    assert {405} == codes
