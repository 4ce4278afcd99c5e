"""A server whose signing key lives in an HSM: its tokens verify everywhere, and a failure costs new tokens alone."""

from __future__ import annotations

import httpx
import jwt
import pytest

from tests.support.authority import NO_TRUST, StartAuthority
from tests.support.logs import capture_logs
from tests.support.production import Production
from tests.support.softhsm import PIN, SoftHsm
from tokenauthority.client import Authority, AuthorityError, TokenRequest, Unavailable
from tokenauthority.v1 import key_pb2, project_pb2


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_its_tokens_verify_by_the_key_set(start_authority: StartAuthority, softhsm: SoftHsm, algorithm: str) -> None:
    """One and a batch, by the JWKS over HTTP and by the server."""
    authority = start_authority(settings={"keys": {"provider": softhsm.uri(), "algorithm": algorithm}})
    with Authority(
        authority.address, api_key=authority.api_key, project_id=authority.project_id, plaintext=True
    ) as client:
        session_id = client.create_session().session_id
        tokens = [
            client.generate_token(session_id, format="session_jwt"),
            *client.generate_tokens([TokenRequest(session_id=session_id, format="session_jwt")] * 20),
        ]
        active = [client.verify_token(token).active for token in tokens]
        keys = client.keys.ListSigningKeys(key_pb2.ListSigningKeysRequest()).keys
        [key] = [key for key in keys if key.state == key_pb2.SIGNING_KEY_STATE_ACTIVE]

    key_set = jwt.PyJWKClient(f"{authority.http_url}/.well-known/jwks.json")
    for token in tokens:
        found = key_set.get_signing_key_from_jwt(token.token)
        claims = jwt.decode(token.token, found, algorithms=[algorithm], audience=authority.project_id)
        assert session_id == claims["session_id"]
    assert [True] * 21 == active
    assert [key.key_id] * 21 == [jwt.get_unverified_header(token.token)["kid"] for token in tokens]


def test_an_hsm_that_is_away_costs_new_tokens_alone(start_authority: StartAuthority, softhsm: SoftHsm) -> None:
    """Old ones verify, other formats are made, and the next token after it came back is made too."""
    authority = start_authority(settings={"keys": {"provider": softhsm.uri()}})
    with Authority(
        authority.address, api_key=authority.api_key, project_id=authority.project_id, plaintext=True
    ) as client:
        session_id = client.create_session().session_id
        before = client.generate_token(session_id, format="session_jwt")
        softhsm.leave()
        with pytest.raises(Unavailable) as caught:
            client.generate_token(session_id, format="session_jwt")
        meanwhile = client.generate_token(session_id, format="opentok_t1")
        verified = [client.verify_token(token).active for token in (before, meanwhile)]
        softhsm.come_back()
        after = client.generate_token(session_id, format="session_jwt")
        verified.append(client.verify_token(after).active)

    assert "SIGNING_UNAVAILABLE" == caught.value.reason
    assert "softhsm" not in str(caught.value)
    assert [True] * 3 == verified


def test_says_that_an_hsm_is_away_and_that_it_is_back(start_authority: StartAuthority, softhsm: SoftHsm) -> None:
    """Though nobody asks for a token: one line each, one metric, one problem; it leaves its tokens to other servers."""
    authority = start_authority(settings={"keys": {"provider": softhsm.uri()}})
    app = authority.app
    seen = []
    with capture_logs() as logs:
        for change in (softhsm.leave, softhsm.come_back):
            change()
            for _ in range(2):
                authority.do(app.generate.probe_signing(authority.clock()))
            ready = httpx.get(f"{authority.ops_url}/readyz", verify=NO_TRUST)
            failing = app.registry.get_sample_value("tokenauthority_failing", {"part": "signing"})
            serving = {name.rpartition(".")[2] for name, serves in app.readiness.health().serving.items() if serves}
            others = {"KeyService", "SessionService"} <= serving
            tokens = "TokenService" in serving
            seen.append((ready.status_code, bool(ready.json()["problems"].get("signing")), failing, others, tokens))

    assert [(503, True, 1, True, False), (200, False, 0, True, True)] == seen
    assert ["signing.failed", "signing.recovered"] == [
        line["event"] for line in logs if line["event"].startswith("signing.")
    ]


def test_a_second_server_signs_with_the_same_key(production: Production, softhsm: SoftHsm) -> None:
    """It finds what the first one made, by the PIN from a variable too; neither writes the PIN anywhere."""
    by_file, by_variable = softhsm.uri(), softhsm.uri().partition("&")[0]
    servers = [
        production.start(KEYS__PROVIDER=by_file),
        production.start(KEYS__PROVIDER=by_variable, KEYS__PROVIDER_PIN=PIN),
    ]
    with production.client(servers[0].address) as client:
        project_id = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project.project_id
    tokens = []
    for server in servers:
        with production.client(server.address, project_id) as client:
            tokens.append(client.create_session().generate_token(format="session_jwt"))
    with production.client(servers[0].address, project_id) as client:
        active = [client.verify_token(token).active for token in tokens]
    softhsm.leave()
    with production.client(servers[1].address, project_id) as client, pytest.raises(AuthorityError):
        client.create_session().generate_token(format="session_jwt")
    assert [0, 0] == [server.stop() for server in servers]

    assert [True, True] == active
    assert 1 == len({jwt.get_unverified_header(token.token)["kid"] for token in tokens})
    [failed] = servers[1].events("signing.failed")
    assert "/softhsm/" in str(failed["problem"])
    written = [path for path in production.directory.rglob("*") if path.is_file() and path != softhsm.pin_file]
    assert [] == [
        path for path in written if softhsm.directory / "away" not in path.parents and PIN.encode() in path.read_bytes()
    ]
