"""`callers check --jwt` says what the server would say of a JWT, check by check, and never shows the JWT."""

from __future__ import annotations

import time

from pathlib import Path

import pytest

from tests.callers.issuer import (
    AUDIENCE,
    NAME,
    SUBJECT,
    Key,
    forge,
    header,
    jwks,
    jwks_server,
    kubernetes_claims,
    write_jwks,
)
from tests.cli.conftest import Outcome, Run


EC = Key("ec-1")
STRANGER = Key("ec-1")
CALLERS = f"""\
[[issuers]]
issuer = "{NAME}"
audience = "{AUDIENCE}"
algorithms = ["ES256"]
%s

[[callers]]
name = "room-service"
jwt = {{ issuer = "{NAME}", subject = "{SUBJECT}" }}
projects = ["*"]
actions = ["sessions.read"]
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A callers file whose issuer has its keys in a file."""
    write_jwks(tmp_path / "jwks.json", EC, EC.jwk(kid="enc", use="enc"))
    path = tmp_path / "callers.toml"
    path.write_text(CALLERS % 'jwks_file = "jwks.json"')
    return str(path)


def token(key: Key = EC, head: dict[str, object] | None = None, **changes: object) -> str:
    """A token that is valid now, with *changes*."""
    now = int(time.time())
    claims = kubernetes_claims(**{"iat": now, "nbf": now, "exp": now + 36_000, **changes})
    return forge(key, head=header(key, **(head or {})), claims=claims)


def failed(outcome: Outcome) -> list[str]:
    """The checks that failed, as they were printed."""
    return [line.strip().removeprefix("NO  ") for line in outcome.out.splitlines() if line.startswith("  NO")]


def test_explains_a_valid_jwt(run_alone: Run, file: str, tmp_path: Path) -> None:
    """From a file or from standard input; every check with what it found."""
    (tmp_path / "token").write_text(token() + "\n")
    of_file = run_alone("callers", "check", file, "--jwt", str(tmp_path / "token"))
    of_stdin = run_alone("callers", "check", file, "--jwt", "-", stdin=token())
    as_json = run_alone("callers", "check", file, "--jwt", "-", "--json", stdin=token()).json

    assert (0, "yes", []) == (of_file.exit_code, of_file.out.splitlines()[0], failed(of_file))
    assert (0, "yes") == (of_stdin.exit_code, of_stdin.out.splitlines()[0])
    assert f'  ok  aud: aud holds "{AUDIENCE}"' in of_file.out
    assert "  ok  caller: the caller is room-service" in of_file.out
    assert (True, 11) == (as_json["valid"], len(list(as_json["checks"])))  # type: ignore[call-overload]  # a list in JSON


INVALID: dict[str, tuple[str, list[str]]] = {
    "audience and expiry": (
        token(aud="x", iat=1, nbf=1, exp=61),
        [f'aud: aud is "x" and must hold "{AUDIENCE}"', "end: it has expired at"],
    ),
    "issuer": (token(iss="https://else"), ['iss: iss "https://else" is no issuer of the callers file']),
    "subject": (token(sub="x"), ['caller: no caller has the sub "x" of this issuer']),
    "no subject": (token(sub=None), ["sub: sub is missing or no string", "caller: sub is missing or no string"]),
    "clock": (token(nbf=int(time.time()) + 4000), ["begin: it is not valid before"]),
    "algorithm": (token(head={"alg": "RS256"}), ["alg: alg is none", "signature: the signature is not that of kid"]),
    "signature": (token(STRANGER), ['signature: the signature is not that of kid "ec-1"']),
    "kid": (
        token(head={"kid": "enc"}),
        ['kid: kid "enc" is no usable key of the issuer; usable: "ec-1"; kid "enc" has a use'],
    ),
    "no kid": (token(head={"kid": None}), ["kid: kid is missing or no string"]),
    "form": ("ey.ey", ["form: a JWT has three parts with dots between them"]),
    "API key": ("tak_" + "A" * 43, ["form: a JWT has three parts with dots between them"]),
}


@pytest.mark.parametrize(("jwt", "problems"), INVALID.values(), ids=INVALID)
def test_names_every_check_that_fails(run_alone: Run, file: str, jwt: str, problems: list[str]) -> None:
    """Not only the first. Nothing of the signature is printed, nor the whole of another part."""
    outcome = run_alone("callers", "check", file, "--jwt", "-", stdin=jwt)

    assert (1, "no") == (outcome.exit_code, outcome.out.splitlines()[0])
    assert len(problems) == len(failed(outcome))
    for problem, printed in zip(problems, failed(outcome), strict=True):
        assert printed.startswith(problem)
    assert not [part for part in jwt.split(".") if len(part) > 10 and part in outcome.out + outcome.err]


def test_fetches_the_keys_of_the_issuer(run_alone: Run, file: str) -> None:
    """Live; where it cannot, exit code 3 says that the JWT may be valid, and 1 that it is invalid anyway."""
    with jwks_server() as server:
        server.body = jwks(EC)
        Path(file).write_text(CALLERS % f'jwks_url = "{server.url}"')
        fetched = run_alone("callers", "check", file, "--jwt", "-", stdin=token())
    unreachable = run_alone("callers", "check", file, "--jwt", "-", stdin=token())
    invalid = run_alone("callers", "check", file, "--jwt", "-", stdin=token(aud="x"))

    assert (0, 3, 1) == (fetched.exit_code, unreachable.exit_code, invalid.exit_code)
    assert "  ??  kid: the keys of the issuer cannot be fetched: ConnectError" in unreachable.out


@pytest.mark.parametrize("options", [(), ("--caller", "x"), ("--jwt", "-", "--caller", "x", "--action", "keys.read")])
def test_asks_for_a_jwt_or_a_caller(run_alone: Run, file: str, options: tuple[str, ...]) -> None:
    """Exactly one question at a time."""
    refused = run_alone("callers", "check", file, *options, stdin=token())

    assert (2, True) == (refused.exit_code, "give --caller and --action, or --jwt" in refused.err)


def test_a_callers_file_that_is_invalid_is_a_failure_of_its_own(run_alone: Run, file: str) -> None:
    """Exit code 2, as for every command."""
    Path(file).write_text("x")

    assert 2 == run_alone("callers", "check", file, "--jwt", "-", stdin=token()).exit_code
