"""The callers file changes under open connections: a good one counts at once and whole, a bad one not at all."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from prometheus_client import CollectorRegistry

from tests.callers.issuer import (
    NAME,
    SUBJECT,
    JwksServer,
    Key,
    forge,
    jwks,
    jwks_server,
    kubernetes_claims,
    make_issuer,
    make_registry,
    write_jwks,
)
from tests.support.authority import WAIT, eventually
from tests.support.production import Production, Server
from tests.support.wire import LIST_PROJECTS, V1, Wire
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.file import CallersFile
from tokenauthority.callers.issuer_keys import IssuerKeyCaches
from tokenauthority.callers.registry import CallerRegistry, CurrentCallers
from tokenauthority.server.callers_reloader import CallersReloader
from tokenauthority.threads import PoolError
from tokenauthority.v1 import project_pb2, session_pb2, token_pb2, token_pb2_grpc


EVERYTHING = ('projects = ["*"]', 'actions = ["*"]', 'roles = ["*"]')
VERIFY = V1 + "TokenService/VerifyToken"
EC = Key("key-1")


class HangingFile(CallersFile):
    """A callers file on a file system that answers nothing until `going` is set."""

    def __init__(self, path: Path, going: threading.Event) -> None:
        super().__init__(path, "")
        self._going = going

    def load(self) -> CallerRegistry:
        """Read the file, but answer later."""
        found = super().load()
        self._going.wait(WAIT)
        return found


def row(name: str, identity: str) -> str:
    """A caller who may do everything."""
    return "\n".join(("[[callers]]", f'name = "{name}"', identity, *EVERYTHING, ""))


def key_row(name: str, *keys: str) -> str:
    """The same, known by API keys."""
    return row(name, f"api_key_sha256 = {[digest(key) for key in keys]}")


def replace_callers(production: Production, text: str) -> None:
    """Put another callers file in its place, whole."""
    fresh = production.directory / "callers.new"
    fresh.write_text(text)
    fresh.replace(production.directory / "callers.toml")


def wait_for(server: Server, event: str, count: int = 1) -> dict[str, object]:
    """The log's event of that number and name, once it is there."""
    eventually(lambda: len(server.events(event)) >= count, f"no {event}: {server.log()}")
    return server.events(event)[count - 1]


def metric(server: Server, result: str) -> float:
    """How many reloads ended so."""
    name = f'tokenauthority_callers_reloads_total{{result="{result}"}} '
    lines = server.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).removeprefix(name))


@pytest.fixture
def server(production: Production) -> Server:
    """A running server with one caller."""
    return production.start()


@pytest.fixture
def wire(production: Production, server: Server) -> Iterator[Wire]:
    """One connection, kept open throughout."""
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    with grpc.secure_channel(server.address, trust) as channel:
        yield Wire(channel=channel, api_key=production.api_key)


async def test_a_file_that_hangs_is_given_up_and_read_again(tmp_path: Path) -> None:
    """Meanwhile the keys of issuers are fetched, and no change is lost."""
    path, jwks_file = tmp_path / "callers.toml", write_jwks(tmp_path / "jwks.json", EC)
    going = threading.Event()
    path.write_text(key_row("backend", new_api_key()))
    current = CurrentCallers(make_registry(make_issuer(jwks_file=jwks_file)))
    caches = IssuerKeyCaches(current, refresh=300, max_stale=86_400)
    reloader = CallersReloader(
        HangingFile(path, going), current, caches, CollectorRegistry(), lambda: None, patience=0.01
    )
    try:
        for _ in range(2):
            with pytest.raises(PoolError):
                await reloader.look()
        cache = caches.cache_of(current.registry.issuers[0])
        await asyncio.wait_for(asyncio.shield(cast("asyncio.Task[None]", cache._fetch)), WAIT)
    finally:
        going.set()
    # What was given up has ended then.
    await reloader._thread.run(lambda: None)
    reloader._patience = WAIT
    await reloader.look()
    await reloader.close()

    assert cache.cached_key(EC.kid)
    assert ["backend"] == [entry.caller.name for entry in current.registry.entries]


def test_a_change_counts_for_open_streams(production: Production, server: Server, wire: Wire) -> None:
    """Each is ended, for its caller to show that it still may: who may not any more is refused."""
    streams = [_watch(wire, production.api_key) for _ in range(2)]
    for stream in streams:
        assert "snapshot_end" == next(stream).WhichOneof("event")
    replace_callers(production, key_row("backend", new_api_key()))
    codes = []
    for stream in streams:
        with pytest.raises(grpc.RpcError):
            list(stream)
        codes.append(stream.code())
    again = _watch(wire, production.api_key)
    with pytest.raises(grpc.RpcError):
        next(again)

    assert [grpc.StatusCode.UNAVAILABLE] * 2 == codes
    assert grpc.StatusCode.UNAUTHENTICATED is again.code()
    assert ["OPENED", "OPENED", "CALLERS_CHANGED", "CALLERS_CHANGED", "CREDENTIAL_INVALID"] == [
        record["reason"] for record in server.audited()
    ]


def test_a_change_counts_on_open_connections(production: Production, server: Server, wire: Wire) -> None:
    """A key is exchanged without an outage: both are valid, then the new one alone, from the very next RPC on."""
    new_key = new_api_key()
    before = [wire.call(LIST_PROJECTS, api_key=key).code for key in (production.api_key, new_key)]
    replace_callers(production, key_row("backend", production.api_key, new_key))
    wait_for(server, "callers.reloaded")
    between = [wire.call(LIST_PROJECTS, api_key=key).code for key in (production.api_key, new_key)]
    replace_callers(production, key_row("backend", new_key))
    wait_for(server, "callers.reloaded", 2)
    after = [wire.call(LIST_PROJECTS, api_key=key).code for key in (production.api_key, new_key)]

    assert ["OK", "UNAUTHENTICATED"] == before
    assert ["OK", "OK"] == between
    assert ["UNAUTHENTICATED", "OK"] == after
    assert (2.0, 0.0) == (metric(server, "applied"), metric(server, "refused"))
    assert 0 == server.stop()


def test_a_grant_that_was_cut_is_cut_for_who_is_known_already(
    production: Production, server: Server, wire: Wire
) -> None:
    """What was cached of a caller ends with the file that said it."""
    assert "OK" == wire.call(LIST_PROJECTS).code
    row_before = key_row("backend", production.api_key)
    replace_callers(production, row_before.replace('actions = ["*"]', 'actions = ["keys.read"]'))
    wait_for(server, "callers.reloaded")
    outcome = wire.call(LIST_PROJECTS)

    assert ("PERMISSION_DENIED", "ACTION_NOT_GRANTED") == (outcome.code, outcome.reason)


def test_an_invalid_file_leaves_the_old_in_force(production: Production, server: Server, wire: Wire) -> None:
    """Refused whole, with every problem and its line in the log, counted, and shown without turning readiness red."""
    path = production.directory / "callers.toml"
    good = path.read_text()
    replace_callers(production, good.replace('["*"]', '["-"]', 1) + "x = 1\n")
    refused = wait_for(server, "callers.refused")
    ready = server.get("/readyz")
    served = wire.call(LIST_PROJECTS).code
    replace_callers(production, good)
    wait_for(server, "callers.reloaded")
    repaired = server.get("/readyz")

    assert [
        "line 4: caller backend: projects has an invalid item: '-'",
        "line 7: caller backend: 'x' is not a field",
    ] == refused["problems"]
    assert "error" == refused["level"]
    assert ("OK", 200, True, {}) == (served, ready.status_code, ready.json()["ready"], ready.json()["problems"])
    assert "not valid (2 problems, see the log); the one before is in force" == ready.json()["details"]["callers_file"]
    assert "callers_file" not in repaired.json()["details"]
    assert (1.0, 1.0) == (metric(server, "applied"), metric(server, "refused"))
    assert 1 == len(server.events("callers.refused"))


@pytest.mark.parametrize("content", [None, "", "[[callers]"], ids=["absent", "empty", "no TOML"])
def test_a_file_that_says_nothing_leaves_the_old_in_force(
    production: Production, server: Server, wire: Wire, content: str | None
) -> None:
    """Removed, emptied or half written."""
    path = production.directory / "callers.toml"
    if content is None:
        path.unlink()
    else:
        replace_callers(production, content)
    wait_for(server, "callers.refused")

    assert "OK" == wire.call(LIST_PROJECTS).code


def test_sighup_reads_the_file_at_once(production: Production, server: Server, wire: Wire) -> None:
    """Also where nothing tells that it changed; the server serves on."""
    server.process.send_signal(signal.SIGHUP)
    wait_for(server, "callers.reloaded")

    assert "OK" == wire.call(LIST_PROJECTS).code
    assert server.process.poll() is None


def test_an_invalid_file_at_the_start_is_no_start(production: Production) -> None:
    """Every problem is named with its line, and the exit code is that of a wrong configuration."""
    production.write_callers('projects = ["-"]', "x = 1")
    status, log = production.fail()

    assert 2 == status
    for problem in (
        "line 4: caller backend: projects has an invalid item: '-'",
        "line 5: caller backend: 'x' is not a field",
        "line 1: caller backend: actions is missing. Actions that the caller may take: at least one",
    ):
        assert f"callers.toml: {problem}" in log


def test_the_authority_is_no_issuer_of_its_callers(production: Production) -> None:
    """A callers file that names its own issuer is refused."""
    text = issuer_row("http://127.0.0.1:9/", "https://tokens.example")
    production.write_callers(*EVERYTHING, text)
    status, log = production.fail()

    assert 2 == status
    assert "issuer is the authority's own" in log


def issuer_row(url: str, name: str = NAME) -> str:
    """An issuer whose JWKS is at *url*."""
    return "\n".join(
        (
            "[[issuers]]",
            f'issuer = "{name}"',
            'audience = "https://tokens.example"',
            'algorithms = ["ES256"]',
            f'jwks_url = "{url}"',
            "",
        )
    )


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    """A running issuer."""
    with jwks_server() as server:
        server.body = jwks(EC)
        yield server


@pytest.fixture
def cluster(production: Production, issuer: JwksServer) -> Server:
    """A server that knows a service account beside its first caller; issued tokens are for it."""
    return start_cluster(production, issuer)


def start_cluster(production: Production, issuer: JwksServer) -> Server:
    """Start it."""
    jwt_row = row("room-service", f'jwt = {{ issuer = "{NAME}", subject = "{SUBJECT}" }}')
    (production.directory / "callers.toml").write_text(
        issuer_row(issuer.url) + key_row("backend", production.api_key) + jwt_row
    )
    return production.start()


def service_account_token(key: Key = EC, /, **changes: Any) -> str:
    """A token of the service account, good for ten minutes from now."""
    now = int(time.time())
    return forge(key, claims=kubernetes_claims(**{"iat": now, "nbf": now, "exp": now + 600, **changes}))


def connect(production: Production, server: Server) -> grpc.Channel:
    """A channel to it."""
    return grpc.secure_channel(server.address, grpc.ssl_channel_credentials(production.root_certificates))


def test_a_service_account_calls(production: Production, cluster: Server, issuer: JwksServer) -> None:
    """Its token is the credential; the audit log says who it was and never what it sent."""
    token = service_account_token()
    with connect(production, cluster) as channel:
        codes = [Wire(channel=channel, api_key=token).call(LIST_PROJECTS).code for _ in range(3)]
        stranger = Wire(channel=channel, api_key=service_account_token(sub="system:serviceaccount:x:y"))
        codes.append(stranger.call(LIST_PROJECTS).code)
    record = cluster.audited()[0]

    assert ["OK", "OK", "OK", "UNAUTHENTICATED"] == codes
    assert ("room-service", "jwt", f"{NAME} {SUBJECT}") == (
        record["caller"],
        record["caller_kind"],
        record["caller_identity"],
    )
    assert 1 == len(issuer.requests)
    for part in token.split("."):
        assert part not in cluster.log() + cluster.audit_path.read_text()


def test_an_issuer_that_is_down_shows_without_turning_the_server_red(
    production: Production, cluster: Server, issuer: JwksServer
) -> None:
    """Other callers are served; whose keys are missing is in the details."""
    issuer.close()
    replace_callers(production, issuer_row("http://127.0.0.1:1/") + key_row("backend", production.api_key))
    # The log alone does not say it: the caller that was there before could also fail to fetch its keys.
    eventually(lambda: "issuers" in cluster.get("/readyz").json()["details"], "the issuer is not in the details")
    ready = cluster.get("/readyz")

    assert (200, f"the keys cannot be fetched of: {NAME}") == (ready.status_code, ready.json()["details"]["issuers"])
    with connect(production, cluster) as channel:
        assert "OK" == Wire(channel=channel, api_key=production.api_key).call(LIST_PROJECTS).code


def test_an_operator_learns_why_a_jwt_is_refused(production: Production, issuer: JwksServer) -> None:
    """From the record of its request id, and from the details. The caller gets one text for every cause."""
    issuer.body = jwks(EC.jwk(kid="enc", use="enc"), EC.jwk(alg=None, use="jwt-svid"))
    cluster = start_cluster(production, issuer)
    causes = {
        "audience": service_account_token(aud="x"),
        "expiry": service_account_token(iat=1, nbf=1, exp=2),
        "subject": service_account_token(sub="x"),
        "issuer": service_account_token(iss="https://x"),
        "key": service_account_token(Key("enc")),
    }
    with connect(production, cluster) as channel:
        answers = {
            cause: Wire(channel=channel, api_key=token).call(
                LIST_PROJECTS, metadata=[("x-request-id", f"call-{cause}")]
            )
            for cause, token in causes.items()
        }
    problems = {record["request_id"]: record.get("credential_problem") for record in cluster.audited()}
    details = cluster.get("/readyz").json()["details"]

    assert 1 == len({(answer.code, answer.message, answer.reason) for answer in answers.values()})
    assert f'JWT: no caller has the sub "x" of {NAME}' == problems["call-subject"]
    assert 'JWT: iss "https://x" is no issuer of the callers file' == problems["call-issuer"]
    assert 'JWT: aud is "x" and must hold "https://tokens.example"' == problems["call-audience"]
    assert str(problems["call-expiry"]).startswith("JWT: it has expired at 1970-01-01T00:00:02Z, ")
    assert f'JWT: kid "enc" is no usable key of {NAME}; usable keys: 1' == problems["call-key"]
    assert f'{NAME}: kid "enc" has a use other than sig and jwt-svid' == details["issuer_keys"]


def test_neither_kind_of_token_passes_for_the_other(production: Production, cluster: Server) -> None:
    """A session's token is no caller's credential, and a caller's JWT is no session's token."""
    with connect(production, cluster) as channel:
        wire = Wire(channel=channel, api_key=production.api_key)
        create = V1 + "ProjectService/CreateProject"
        project = project_pb2.CreateProjectResponse.FromString(
            wire.call(create, project_pb2.CreateProjectRequest()).body
        ).project.project_id
        asked = session_pb2.CreateSessionRequest(project_id=project)
        session = session_pb2.CreateSessionResponse.FromString(
            wire.call(V1 + "SessionService/CreateSession", asked).body
        ).session.session_id
        wanted = token_pb2.GenerateTokenRequest(request=token_pb2.TokenRequest(session_id=session))
        generated = token_pb2.GenerateTokenResponse.FromString(
            wire.call(V1 + "TokenService/GenerateToken", wanted).body
        ).token.token
        credential = service_account_token()
        assert "OK" == wire.call(LIST_PROJECTS, api_key=credential).code
        as_credential = wire.call(LIST_PROJECTS, api_key=generated).code
        reasons = set()
        for changes in ({}, {"aud": project}, {"iss": "https://tokens.example"}, {"scope": "session.connect"}):
            answer = wire.call(VERIFY, token_pb2.VerifyTokenRequest(token=service_account_token(**changes)))
            verdict = token_pb2.VerifyTokenResponse.FromString(answer.body)
            assert ("OK", False) == (answer.code, verdict.active)
            reasons.add(token_pb2.InactiveReason.Name(verdict.reason))
        own = token_pb2.VerifyTokenResponse.FromString(
            wire.call(VERIFY, token_pb2.VerifyTokenRequest(token=generated)).body
        )

    assert ("UNAUTHENTICATED", True) == (as_credential, own.active)
    assert reasons <= {"INACTIVE_REASON_MALFORMED", "INACTIVE_REASON_KEY_UNKNOWN", "INACTIVE_REASON_PROJECT_UNKNOWN"}


def _watch(wire: Wire, api_key: str) -> Any:
    stub = token_pb2_grpc.TokenServiceStub(wire.channel)
    metadata = (("authorization", f"Bearer {api_key}"),)
    return stub.WatchRevocations(token_pb2.WatchRevocationsRequest(), timeout=WAIT, metadata=metadata)
