"""`tokenauthority config validate` finds all for which `serve` refuses to start, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.cli.conftest import Outcome, Run, run_alone
from tests.support.production import Production
from tokenauthority.server import descriptors
from tokenauthority.signing.sealing import MasterKey


__all__ = ["run_alone"]

Validate = Callable[..., Outcome]


@pytest.fixture
def validate(production: Production, run_alone: Run, monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Runs the command in the directory of servers; variables are without the prefix."""
    monkeypatch.chdir(production.directory)

    def run(*arguments: str, **variables: str) -> Outcome:
        env = {f"TOKENAUTHORITY_{name}": value for name, value in variables.items()}
        return run_alone(*arguments, "config", "validate", "--config", "authority.toml", env=env)

    return run


def files(directory: Path) -> dict[str, bytes]:
    """All that is there."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_valid_settings_are_valid_before_the_first_start(production: Production, validate: Validate) -> None:
    """And nothing is made."""
    before = files(production.directory)

    done = validate()

    assert (0, "valid: a server can start with these settings\n", "") == (done.exit_code, done.out, done.err)
    assert before == files(production.directory)


def test_settings_of_a_running_server_are_valid(production: Production, validate: Validate) -> None:
    """Its addresses are taken by itself, and so is its audit log."""
    server = production.start()
    taken = {f"LISTEN__{name}": server.address_of(name.lower()) for name in ("GRPC", "HTTP", "OPS")}

    done = validate("--json", AUDIT__PATH=str(server.audit_path), **taken)

    assert {"valid": True, "problems": []} == done.json
    assert 0 == server.stop()


def test_all_problems_are_found_at_once(production: Production, validate: Validate) -> None:
    """Each names its setting or its file; exit code 2, and `serve` refuses as well."""
    other = trustme.CA().issue_cert("localhost")
    (production.directory / "server.key").write_bytes(other.private_key_pem.bytes())
    (production.directory / "callers.toml").write_text('[[callers]]\nname = "a"\nactions = ["tokens.genrate"]\n')
    (production.directory / "master.key").write_text("short\n")
    (production.directory / "data").mkdir(mode=0o700)
    wrong = {"LISTEN__HTTP": "192.0.2.1:8080", "AUDIT__PATH": str(production.directory)}

    done = validate(**wrong)

    assert 2 == done.exit_code
    problems = done.err.splitlines()
    for part in (
        "server.key is not the private key of the certificate in server.pem",
        "callers file callers.toml: line 3: ",
        "TOKENAUTHORITY_KEYS__MASTER_KEY_FILE: master.key: ",
        "TOKENAUTHORITY_LISTEN__HTTP: 192.0.2.1:8080: this machine has no such address",
        f"TOKENAUTHORITY_AUDIT__PATH: {production.directory} is not a file",
    ):
        assert 1 == sum(part in problem for problem in problems), (part, problems)
    assert 2 == production.fail(**wrong)[0]


def test_a_file_that_is_not_there_is_one_problem(production: Production, validate: Validate) -> None:
    """By its setting; who would read it does not report it again."""
    for name in ("callers.toml", "server.pem"):
        (production.directory / name).unlink()

    done = validate()

    assert ["TLS__CERT_FILE: server.pem is not a file", "CALLERS__FILE: callers.toml is not a file"] == [
        line.partition("TOKENAUTHORITY_")[2] for line in done.err.splitlines()
    ]


@pytest.mark.parametrize("url", ["postgresql://a:hunter2@127.0.0.1:1/tokens", "postgresql://a@127.0.0.1:1/x"])
def test_a_store_that_is_away_is_found(validate: Validate, url: str) -> None:
    """Without its password."""
    done = validate(DATABASE__URL=url)

    assert 2 == done.exit_code
    assert "TOKENAUTHORITY_DATABASE__URL: the store at 127.0.0.1:1/" in done.err
    assert "hunter2" not in done.err


def test_an_empty_postgresql_store_is_found(validate: Validate, postgres_url: str) -> None:
    """A server does not make it; the command that does is named."""
    assert "run `tokenauthority db upgrade`" in validate(DATABASE__URL=postgres_url).err


def test_a_master_key_that_does_not_open_the_store_is_found(production: Production, validate: Validate) -> None:
    """Of a store that has data under another key."""
    assert 0 == production.start().stop()
    (production.directory / "master.key").write_text(MasterKey.generate().reveal() + "\n")

    done = validate()

    assert 2 == done.exit_code
    assert "give a missing key in one of" in done.err


def test_a_process_that_may_open_too_few_files_is_found(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets a limit of connections that cannot be held learns it before the start."""
    monkeypatch.setattr(descriptors, "allowed_files", lambda: 300)

    done = validate(LIMITS__MAX_CONNECTIONS="500")

    assert "TOKENAUTHORITY_LIMITS__MAX_CONNECTIONS: 500 is too many" in done.err
