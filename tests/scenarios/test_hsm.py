"""A server whose signing key lives in an HSM: its tokens verify everywhere, and it says what keeps it from signing."""

from __future__ import annotations

import subprocess
import sys

import jwt
import pytest

from tests.support.authority import StartAuthority, clean_environment
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


def test_says_at_once_what_keeps_it_from_signing(production: Production, softhsm: SoftHsm) -> None:
    """The setting, the cause and what is missing, without a PIN and without a traceback."""
    production.start(KEYS__PROVIDER=softhsm.uri()).stop()
    pin = softhsm.directory / "wrong-pin"
    pin.write_text("hunter2-4711")
    uri = softhsm.uri()
    no_module = softhsm.directory / "none.so"

    said = [
        production.fail(KEYS__PROVIDER=uri.replace("/pin", "/wrong-pin")),
        production.fail(KEYS__PROVIDER=uri.replace(str(softhsm.module_path), str(no_module))),
        production.fail(KEYS__PROVIDER=softhsm.uri(label="other")),
        production.fail(),
        production.fail(KEYS__PROVIDER=uri.replace("/pin", "/no-pin")),
        production.fail(KEYS__PROVIDER=f"{uri}&pin-value=hunter2-4711"),
        production.fail(KEYS__PROVIDER=uri, KEYS__PROVIDER_PIN="hunter2-4711"),
    ]
    softhsm.leave()
    said.append(production.fail(KEYS__PROVIDER=uri))

    expected = [
        "the token pkcs11:token=signing%20keys refuses the PIN: PinIncorrect",
        f"the module {no_module} cannot be used",
        "is not in the token pkcs11:token=other",
        "and this server is set to no such provider",
        "no-pin is not a file",
        "must not have pin-value",
        "exactly one of TOKENAUTHORITY_KEYS__PROVIDER_PIN and pin-source",
        f"the module {softhsm.module_path} cannot be used: GeneralError",
    ]
    assert [(2, True, True, False, False, False)] * 8 == [
        (
            status,
            "TOKENAUTHORITY_KEYS__PROVIDER" in log,
            text in log,
            PIN in log,
            "hunter2" in log,
            "Traceback" in log,
        )
        for (status, log), text in zip(said, expected, strict=True)
    ], said


def test_a_new_ring_needs_the_hsm(production: Production, softhsm: SoftHsm) -> None:
    """The first key is not made elsewhere instead."""
    status, log = production.fail(KEYS__PROVIDER=softhsm.uri(label="other"))

    assert (2, True) == (status, "has no token pkcs11:token=other" in log)


def test_without_the_extra_it_says_what_to_install(softhsm: SoftHsm) -> None:
    """Whoever does not use an HSM needs none of it."""
    program = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from tokenauthority.config.loading import ConfigError\n"
        "from tokenauthority.config.settings import Settings\n"
        "from tokenauthority.server.key_providers import provider_of\n"
        "import tokenauthority.server.main\n"
        "try: provider_of(Settings.model_validate({'keys': {'provider': sys.argv[1]}}))\n"
        "except ConfigError as error: print(error.problems)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, softhsm.uri()],
        env=clean_environment(),
        capture_output=True,
        check=True,
        text=True,
    )

    assert "pip install '.[server,pkcs11]'" in done.stdout
