"""`tokenauthority serve`, `config` and `db`: the server's own commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from pathlib import Path

from tests.cli.conftest import Run
from tests.support.authority import AuthorityProcess, clean_environment, launch
from tokenauthority.server.memory import worst_case_text


DSN = "postgresql://authority:hunter2@127.0.0.1:1/tokens"


def test_serves_until_it_is_stopped(authority_process: AuthorityProcess, run_alone: Run) -> None:
    """What it prints is enough to call it; SIGTERM ends it with 0, and then nothing points to it any more."""
    served = run_alone("sessions", "create", env=authority_process.environment)

    assert 0 == served.exit_code
    assert 0 == authority_process.stop()
    assert not (authority_process.directory / ".tokenauthority" / "dev.env").exists()


def test_leaves_what_another_server_wrote(authority_process: AuthorityProcess) -> None:
    """A second server of the directory has its own environment there by now."""
    file = authority_process.directory / ".tokenauthority" / "dev.env"
    file.write_text("export TOKENAUTHORITY_ADDRESS=another\n")

    assert 0 == authority_process.stop()
    assert "export TOKENAUTHORITY_ADDRESS=another\n" == file.read_text()


def test_what_it_prints_can_be_pasted(tmp_path: Path) -> None:
    """Into a shell, as it stands, wherever the directory is: a session, a token, and the token is valid."""
    directory = tmp_path / "it's $HOME"
    directory.mkdir()
    authority = launch(directory)
    lines = authority.welcome.partition("In another terminal:")[2]
    with authority.process as process:
        done = subprocess.run(
            ["/bin/bash", "-euc", f'{lines}\ntokenauthority tokens verify "$T"'],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"),
        )
        process.terminate()

    assert "active" == done.stdout.partition("\n")[0], done.stderr
    assert str(directory / ".tokenauthority" / "audit.jsonl") in authority.welcome


_MISSING = ("TLS__CERT_FILE", "CALLERS__FILE", "KEYS__MASTER_KEY", "ISSUANCE__ISSUER")


def test_says_everything_that_is_missing(run_alone: Run) -> None:
    """Without --dev nothing insecure is accepted; all at once, exit code 2."""
    refused = run_alone("serve")

    assert 2 == refused.exit_code
    assert refused.err.startswith("error: ")
    assert [] == [name for name in _MISSING if f"TOKENAUTHORITY_{name}" not in refused.err]


def test_shows_settings_that_are_not_complete(run_alone: Run) -> None:
    """Who sets a server up sees every setting, and on standard error what is still missing."""
    shown = run_alone("config", "show")

    assert 0 == shown.exit_code
    assert "TOKENAUTHORITY_LISTEN__GRPC" in shown.out
    assert [] == [name for name in _MISSING if f"TOKENAUTHORITY_{name}" not in shown.err]
    assert not re.search(r"_ISSUER +http", shown.out), "the value that is missing is that of --dev"


def test_shows_settings_without_secrets(run_alone: Run) -> None:
    """Each with its variable, its value and what it means."""
    shown = run_alone("config", "show", "--dev", "--json", env={"TOKENAUTHORITY_DATABASE__URL": DSN})
    rows = json.loads(shown.out)["settings"]

    by_name = {row["variable"]: row for row in rows}
    assert "127.0.0.1:50051" == by_name["TOKENAUTHORITY_LISTEN__GRPC"]["value"]
    assert "hunter2" not in shown.out
    assert all(row["meaning"] and "\n" not in row["meaning"] for row in rows)


def test_shows_the_memory_of_the_worst_case_to_programs_too(run_alone: Run) -> None:
    """The line for a person and the JSON have the same parts and the same sum."""
    line = run_alone("config", "show", "--dev").out.splitlines()[-1]
    memory = json.loads(run_alone("config", "show", "--dev", "--json").out)["memory"]

    assert memory["worst_case_bytes"] == sum(memory["parts"].values())
    assert worst_case_text(memory["parts"]) == line


def test_reads_settings_from_a_file(run_alone: Run, tmp_path: Path) -> None:
    """A file that is not there is named."""
    file = tmp_path / "authority.toml"
    file.write_text('[listen]\ngrpc = "127.0.0.1:50999"\n')

    shown = run_alone("config", "show", "--dev", "--config", str(file))
    named = run_alone("config", "show", "--dev", env={"TOKENAUTHORITY_CONFIG": str(file)})
    missing = run_alone("config", "show", "--dev", "--config", str(tmp_path / "none.toml"))

    assert "127.0.0.1:50999" in shown.out
    assert "127.0.0.1:50999" in named.out
    assert 2 == missing.exit_code
    assert "none.toml" in missing.err


def test_upgrades_the_database(run_alone: Run, tmp_path: Path) -> None:
    """It says which, and whether it is new; one that cannot be reached is an error without its password."""
    here = {"TOKENAUTHORITY_DATABASE__URL": f"sqlite:///{tmp_path / 'a.db'}"}
    first = run_alone("db", "upgrade", "--dev", env=here)
    second = run_alone("db", "upgrade", "--dev", env=here)
    failed = run_alone("db", "upgrade", "--dev", env={"TOKENAUTHORITY_DATABASE__URL": DSN})

    assert (0, 0, 3) == (first.exit_code, second.exit_code, failed.exit_code)
    place = f"the store at {tmp_path / 'a.db'}"
    assert (f"{place}: made new, up to date\n", f"{place}: up to date\n") == (first.out, second.out)
    assert "TOKENAUTHORITY_DATABASE__URL: the store at 127.0.0.1:1/tokens cannot be reached" in failed.err
    assert "connection refused" in failed.err
    assert "hunter2" not in failed.err
