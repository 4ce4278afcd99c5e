"""Nothing secret gets out: not into logs, the audit log, errors, metrics or the store, and not by `repr`.

Every RPC is made on a real server that logs all it can, well and badly, with secrets that are then looked for.
"""

from __future__ import annotations

import base64
import secrets

from collections.abc import AsyncIterator, Iterator
from typing import cast

import grpc
import pytest

from tests.security.driving import APPLICATION, CANARY, Driver, Secrets, drive_badly, drive_well, pem
from tests.support.authority import AuthorityProcess
from tests.support.collector import Collector, collecting
from tests.support.production import Production, Server
from tests.support.wire import V1, Wire
from tokenauthority.authority.credential_sealer import CredentialSealer
from tokenauthority.authority.project_spec import OpenTokImport, VonageImport
from tokenauthority.authority.revoke import RevokeRequest
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.callers.authenticator import PresentedCredentials
from tokenauthority.client.connection import Connection
from tokenauthority.config.master_keys import MasterKeySource
from tokenauthority.config.settings import Settings
from tokenauthority.contract import METHODS
from tokenauthority.domain.credential import Credential, CredentialKind, PlainCredential
from tokenauthority.domain.key import Algorithm
from tokenauthority.domain.sealed import SealedBlob, SealedKind
from tokenauthority.domain.times import Millis, Seconds
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenSpec, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.interceptors.call import Call, Context
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.signing.signing_key import SigningKey


@pytest.fixture
def guarded() -> Secrets:
    """The secrets of the test."""
    return Secrets()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Who gets traces and metrics."""
    with collecting() as collector:
        yield collector


@pytest.fixture
def server(production: Production, guarded: Secrets, collector: Collector) -> Server:
    """A server in production that logs all that it can, and traces every call."""
    guarded.add("API key", production.api_key)
    master = (production.directory / "master.key").read_text().strip()
    guarded.add("master key", master)
    guarded.add("master key in hex", base64.b64decode(master).hex())
    previous = MasterKey.generate()
    guarded.add("previous master key", previous.reveal())
    guarded.add("previous master key in hex", previous.value.hex())
    turn = [guarded.add("TURN secret", secrets.token_hex(20)) for _ in range(2)]
    (production.directory / "turn-secrets").write_text("\n".join(turn))
    token = guarded.add("token for the collector", secrets.token_hex(20))
    (production.directory / "telemetry-headers").write_text(f"authorization: Bearer {token}")
    return production.start(
        LOGGING__LEVEL="debug",
        TURN__URLS="turn:turn.example.com",
        TURN__SECRETS_FILE="turn-secrets",
        KEYS__PREVIOUS_MASTER_KEY=previous.reveal(),
        ISSUANCE__JWKS_MAX_AGE="1",
        ISSUANCE__LEEWAY="0",
        TELEMETRY__ENDPOINT=f"http://{collector.address}",
        TELEMETRY__HEADERS_FILE="telemetry-headers",
        TELEMETRY__INTERVAL="1",
        TELEMETRY__TIMEOUT="60",
    )


@pytest.fixture
def driver(production: Production, server: Server, guarded: Secrets) -> Iterator[Driver]:
    """Calls over TLS."""
    trust = grpc.ssl_channel_credentials(production.root_certificates)
    with grpc.secure_channel(server.address, trust) as channel:
        yield Driver(Wire(channel=channel, api_key=production.api_key), guarded)


def test_no_secret_gets_out_of_a_server(
    production: Production, server: Server, driver: Driver, guarded: Secrets, collector: Collector
) -> None:
    """Log, audit log, errors, metrics, traces and the files of the store hold none of the secrets that went through."""
    drive_well(driver)
    drive_badly(driver)
    metrics = server.get("/metrics").text
    traced = collector.calls(len(driver.outcomes))
    assert 0 == server.stop()
    stored = b"".join(path.read_bytes() for path in (production.directory / "data").iterdir())
    kept_on_purpose = {what for what in guarded.known if what.startswith("connection data")}

    assert set(METHODS) == driver.worked
    assert {"OK", "UNAUTHENTICATED", "INVALID_ARGUMENT", "ALREADY_EXISTS"} <= {
        outcome.code for outcome in driver.outcomes
    }
    assert len(driver.outcomes) == len([record for record in server.audited() if record.get("reason") != "OPENED"])
    # A stream that ran into its deadline did its work only if it had opened.
    assert {V1 + "TokenService/WatchRevocations"} == {
        record["method"] for record in server.audited() if record.get("reason") == "OPENED"
    }
    assert [] == guarded.found_in(server.log())
    assert [] == guarded.found_in(server.audit_path.read_text())
    assert [] == guarded.found_in(driver.spoken())
    assert [] == guarded.found_in(metrics)
    assert len(driver.outcomes) == len(traced)
    assert collector.metrics
    assert [] == guarded.found_in(collector.all_bytes().decode("latin-1"))
    assert set() == set(guarded.found_in(stored.decode("latin-1"))) - kept_on_purpose


def test_no_bug_was_met_on_the_way(server: Server, driver: Driver) -> None:
    """None of those calls is answered INTERNAL, well made or not."""
    drive_well(driver)
    drive_badly(driver)

    assert [] == server.events("rpc.bug")
    assert not [outcome for outcome in driver.outcomes if outcome.code in {"INTERNAL", "UNKNOWN"}]


def test_the_search_finds_what_it_looks_for(guarded: Secrets) -> None:
    """Plain and in each disguise; else the test above could not fail."""
    secret = guarded.add("secret", CANARY)
    for form in (secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode(), f'{{"a":"x{secret}y"}}'):
        assert ["secret 0"] == guarded.found_in(f"before {form} after")
    assert [] == guarded.found_in("nothing of it")


def test_a_development_server_keeps_its_key_out_of_its_log(authority_process: AuthorityProcess) -> None:
    """It prints the API key on standard output, once, for the person who started it, and nowhere else."""
    guarded = Secrets()
    guarded.add("API key", authority_process.api_key)
    data = authority_process.directory / ".tokenauthority"
    guarded.add("master key", (data / "master.key").read_text().strip())
    with grpc.insecure_channel(authority_process.address) as channel:
        driver = Driver(Wire(channel=channel, api_key=authority_process.api_key), guarded)
        drive_well(driver, patient=False)
    assert 0 == authority_process.stop()

    assert [] == guarded.found_in((authority_process.directory / "stderr.log").read_text())
    assert [] == guarded.found_in((data / "audit.jsonl").read_text())
    assert {0o600} == {path.stat().st_mode & 0o777 for path in data.iterdir()}


def test_no_repr_shows_a_secret() -> None:
    """Whatever ends up in a debugger, a log line or an assertion shows ids, and neither keys nor tokens."""
    key_text = pem()
    guarded = Secrets()
    guarded.add_pem(key_text)
    secret = guarded.add("project secret", secrets.token_hex(20))
    api_key = guarded.add("API key", new_api_key())
    token = guarded.add("token", f"{CANARY}-token")
    data = guarded.add("data", f"{CANARY}-data")
    master = MasterKey.generate()
    guarded.add("master key", master.reveal())
    guarded.add("master key in hex", master.value.hex())
    guarded.add("master key in bytes", repr(master.value))
    credential = Credential(
        credential_id="sec_1", kind=CredentialKind.SECRET, create_time=Millis(0), sealed=secret.encode()
    )
    claims = TokenClaims(session_id="2_x", role="publisher", issue_time=Seconds(0), expire_time=Seconds(1), data=data)
    terms = TokenTerms(
        format=TokenFormat.SESSION_JWT,
        key_id="k",
        session_id="2_x",
        role="publisher",
        issue_time=Seconds(0),
        expire_time=Seconds(1),
    )
    project_secret = ProjectSecret("sec_1", secret)
    vonage = VonageKey.from_pem("vkey_1", APPLICATION, key_text)
    signing = SigningKey.generate(Algorithm.ES256)
    guarded.add("signing key", repr(signing.to_der()))
    call = Call("/a/B", cast("AsyncIterator[object]", None), cast("Context", None), streaming=False)
    call.metadata["authorization"] = [f"Bearer {api_key}"]
    objects = [
        master,
        Sealer(master),
        CredentialSealer(Sealer(master)),
        MasterKeySource(setting="master_key", value=master.reveal()),
        Settings.model_validate({"keys": {"master_key": master.reveal(), "previous_master_key": master.value.hex()}}),
        SealedBlob(kind=SealedKind.SIGNING_KEY, owner="k", object_id="k", sealed=secret.encode()),
        credential,
        project_secret,
        vonage,
        signing,
        signing.signer,
        project_secret.signer,
        project_secret.verifier,
        ProjectKeys("47", (project_secret,), vonage),
        OpenTokImport(api_key="47", api_secret=secret),
        VonageImport(application_id=APPLICATION, private_key=key_text),
        PlainCredential(
            credential_id="sec_1", kind=CredentialKind.SECRET, create_time=Millis(0), value=secret.encode()
        ),
        TokenSpec(session_id="2_x", data=data),
        claims,
        GeneratedToken(token, "1", "", terms),
        Connection(address="localhost:1", api_key=api_key),
        PresentedCredentials(authorization=[f"Bearer {api_key}", f"Bearer {token}"], forwarded=[data]),
        RevokeRequest(token=token),
        call,
    ]

    shown = {type(each).__name__: guarded.found_in(f"{each!r} {each}") for each in objects}

    assert {name: [] for name in shown} == shown
