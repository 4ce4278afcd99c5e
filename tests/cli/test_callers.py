"""`tokenauthority callers` and `keys`."""

from __future__ import annotations

import hashlib
import re
import stat
import tomllib

from pathlib import Path

from tests.cli.conftest import Run
from tokenauthority.callers.file import load_callers


def test_the_entry_makes_the_key_good(run_alone: Run, tmp_path: Path) -> None:
    """What is printed on standard output is a whole callers file; the key is on standard error alone."""
    made = run_alone("callers", "new-key", "--name", "room-service", "--project", "47000000")
    key = next(line for line in made.err.splitlines() if line.startswith("tak_"))
    file = tmp_path / "callers.toml"
    file.write_text(made.out)

    callers = load_callers(file)

    assert 0 == made.exit_code
    assert key not in made.out
    assert re.fullmatch(r"tak_[A-Za-z0-9_-]{43}", key)
    assert {hashlib.sha256(key.encode()).hexdigest()} == set(callers)
    assert "room-service" == next(iter(callers.values())).name


def test_an_operators_caller_makes_projects_and_no_tokens(run_alone: Run, tmp_path: Path) -> None:
    """It is for all projects; its key goes into a file of its owner's, and nowhere else."""
    file = tmp_path / "admin.key"
    made = run_alone("callers", "new-key", "--name", "admin", "--admin", "--key-file", str(file))
    key = file.read_text().strip()
    (tmp_path / "callers.toml").write_text(made.out)
    caller = load_callers(tmp_path / "callers.toml")[hashlib.sha256(key.encode()).hexdigest()]

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert key not in made.out + made.err
    assert caller.grant.allows_project("47000000")
    assert {"projects.create", "projects.read", "projects.update", "projects.rotate", "keys.read"} == set(
        caller.grant.actions
    )


def test_writes_over_no_key(run_alone: Run, tmp_path: Path) -> None:
    """The one that is there could not be made again; nothing is printed that would go with a new one."""
    file = tmp_path / "key"
    file.write_text("tak_old")
    refused = run_alone("callers", "new-key", "--key-file", str(file))

    assert (2, "", f"error: --key-file {file}: File exists\n") == (refused.exit_code, refused.out, refused.err)
    assert "tak_old" == file.read_text()


def test_an_entry_is_as_it_was_asked_for(run_alone: Run) -> None:
    """Projects, actions and roles may each be several."""
    options = ("--project", "1", "--project", "2", "--action", "tokens.generate", "--role", "publisher", "--role", "x")
    entry = tomllib.loads(run_alone("callers", "new-key", *options).out)["callers"][0]

    assert (["1", "2"], ["tokens.generate"], ["publisher", "x"]) == (
        entry["projects"],
        entry["actions"],
        entry["roles"],
    )


def test_no_two_keys_are_the_same(run_alone: Run) -> None:
    """They come from the system's generator; JSON has the key and its digest."""
    made = [run_alone("callers", "new-key", "--json") for _ in range(3)]

    assert 3 == len({outcome.text("api_key") for outcome in made})
    entry = tomllib.loads(made[0].text("entry"))["callers"][0]
    assert made[0].text("api_key_sha256") == entry["api_key_sha256"]
    assert made[0].text("api_key") not in made[0].text("entry")


def test_lists_the_signing_keys(run: Run) -> None:
    """A new authority has one, which signs."""
    rows = run("keys", "list", "--json").rows

    assert [("active", "es256")] == [(row["state"], row["algorithm"]) for row in rows]
    assert rows[0]["retire_time"] is None
    assert str(rows[0]["key_id"]) in run("keys", "list").out
