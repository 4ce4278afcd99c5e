"""`tokenauthority callers` and `keys`."""

from __future__ import annotations

import hashlib
import re
import tomllib

from pathlib import Path

from tests.cli.conftest import Run
from tokenauthority.callers.file import load_callers


def test_the_entry_makes_the_key_good(run_alone: Run, tmp_path: Path) -> None:
    """What is printed on standard output after the key is a whole callers file."""
    made = run_alone("callers", "new-key", "--name", "room-service", "--project", "47000000")
    key, _, entry = made.out.partition("\n")
    file = tmp_path / "callers.toml"
    file.write_text(entry)

    callers = load_callers(file)

    assert 0 == made.exit_code
    assert re.fullmatch(r"tak_[A-Za-z0-9_-]{43}", key)
    assert {hashlib.sha256(key.encode()).hexdigest()} == set(callers)
    assert "room-service" == next(iter(callers.values())).name


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
