"""`grpc.health.v1` answers by the rule of all probes, and no watcher holds anybody up."""

from __future__ import annotations

import grpc
import httpx
import pytest

from grpc_health.v1 import health_pb2
from prometheus_client.parser import text_string_to_metric_families

from tests.security import http2
from tests.support.authority import NO_TRUST, WAIT, RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tests.support.wire import Connect, Wire
from tokenauthority.client import Authority, Unavailable
from tokenauthority.contract import SERVICES
from tokenauthority.storage.condition import StoreCondition


CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SESSIONS, TOKENS = "tokenauthority.v1.SessionService", "tokenauthority.v1.TokenService"
UNWRITABLE = StoreCondition(can_write=False, cause="database is locked", since=1.0)
SERVING, NOT_SERVING = "\x08\x01", "\x08\x02"


def states(wire: Wire) -> dict[str, bool]:
    """What Check answers for each service that serves or does not."""
    names = ("", *SERVICES)
    asked = {name: wire.call(CHECK, health_pb2.HealthCheckRequest(service=name), api_key="") for name in names}
    return {name: health_pb2.HealthCheckResponse.FromString(found.body).status == 1 for name, found in asked.items()}


def ready(authority: RunningAuthority, service: str = "") -> tuple[int, object]:
    """Status and details of the HTTP probe."""
    answer = httpx.get(f"{authority.ops_url}/readyz", params={"service": service} if service else {}, verify=NO_TRUST)
    return answer.status_code, answer.json()["details"]


def shown(authority: RunningAuthority, metric: str) -> dict[str, float]:
    """The samples of a gauge, by their one label."""
    families = text_string_to_metric_families(httpx.get(authority.ops_url + "/metrics", verify=NO_TRUST).text)
    samples = [sample for family in families for sample in family.samples if sample.name == metric]
    return {next(iter(sample.labels.values())): sample.value for sample in samples}


def test_a_server_that_cannot_write_says_so_and_serves_on(start_authority: StartAuthority, connect: Connect) -> None:
    """All probes and metrics agree; tokens are still made, and the services that need the store do not serve."""
    store = FaultyStore()
    authority = start_authority(store=store)
    wire = connect(authority)
    with Authority.from_environment(authority.environment) as client:
        session = client.create_session()
        before = states(wire)
        store.condition = UNWRITABLE
        store.fail("create_session")
        with pytest.raises(Unavailable):
            client.create_session()
        token = session.generate_token()
        during, active = states(wire), client.verify_token(token).active
    probes = {name: ready(authority, name) for name in ("", *SERVICES)}
    failing = {part for part, value in shown(authority, "tokenauthority_failing").items() if value}
    serving = {name: bool(value) for name, value in shown(authority, "tokenauthority_serving").items()}
    store.condition = None

    assert active
    assert all(before.values())
    assert (True, True, False) == (during[""], during[TOKENS], during[SESSIONS])
    assert during == serving == {name: status == 200 for name, (status, _) in probes.items()}
    assert [{"store": "cannot be written: database is locked; tokens are made and verified from cached data"}] * 6 == [
        details for _, details in probes.values()
    ]
    assert {"store"} == failing
    assert (states(wire), ready(authority)) == (before, (200, {}))


def test_watchers_see_each_change(start_authority: StartAuthority, connect: Connect) -> None:
    """Of their own service; one that nobody knows is SERVICE_UNKNOWN, as the protocol says."""
    store = FaultyStore()
    wire = connect(start_authority(store=store))
    watch = wire.channel.unary_stream(
        WATCH,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    one, other = (watch(health_pb2.HealthCheckRequest(service=name), timeout=WAIT) for name in (SESSIONS, "x"))
    seen = [next(one).status, next(other).status]
    store.condition = UNWRITABLE
    seen.append(next(one).status)
    store.condition = None
    seen.append(next(one).status)
    one.cancel()
    other.cancel()

    assert [1, 3, 2, 1] == seen


def test_knows_no_other_service(running_authority: RunningAuthority, wire: Wire) -> None:
    """NOT_FOUND for a name that it does not have, at each probe."""
    unknown = wire.call(CHECK, health_pb2.HealthCheckRequest(service="x"), api_key="")

    assert "NOT_FOUND" == unknown.code
    assert 404 == httpx.get(running_authority.ops_url + "/readyz?service=x", verify=NO_TRUST).status_code


def test_a_watcher_that_does_not_read_holds_up_nobody(start_authority: StartAuthority, connect: Connect) -> None:
    """Its window is closed (RFC 9113, 6.9.2): other watchers see the change, and Check answers."""
    store = FaultyStore()
    authority = start_authority(store=store)
    wire = connect(authority)
    request = health_pb2.HealthCheckRequest(service=SESSIONS).SerializeToString()
    closed = http2.frame(4, 0, 0, (4).to_bytes(2) + (0).to_bytes(4))
    stalled = http2.Connection(authority.address)
    body = b"\0" + len(request).to_bytes(4) + request
    stalled.send(closed + http2.frame(1, 4, 1, http2.header_block(WATCH, {})) + http2.frame(0, 1, 1, body))
    in_flight = "tokenauthority_rpcs_in_flight"
    eventually(lambda: authority.app.registry.get_sample_value(in_flight) == 1, "the stalled watch has not begun")
    send: grpc.UnaryStreamMultiCallable[bytes, bytes] = wire.channel.unary_stream(WATCH)
    watch = send(request, timeout=WAIT)
    first = next(watch)
    store.condition = UNWRITABLE
    second = next(watch)
    watch.cancel()
    stalled.close()

    assert (SERVING.encode(), NOT_SERVING.encode()) == (first, second)
    assert not states(wire)[SESSIONS]
