"""`tokenauthority turn` against a real authority whose settings name TURN servers."""

from __future__ import annotations

import time

from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.authority import RunningAuthority, StartAuthority
from tests.support.turn import URLS, password_of, turn_settings


@pytest.fixture
def running_authority(start_authority: StartAuthority, tmp_path: Path) -> RunningAuthority:
    """The authority that `run` calls."""
    return start_authority(settings={"turn": turn_settings(tmp_path)})


def test_prints_an_ice_server(run: Run, session_id: str) -> None:
    """As JSON, ready for a browser."""
    made = run("turn", "create", "--session", session_id, "--subject", "alice", "--ttl", "10m", "--json")
    expiry = int(datetime.fromisoformat(made.text("expire_time")).timestamp())

    assert {"urls": list(URLS), "credential": password_of(made.text("username"))}.items() <= made.json.items()
    assert f"{expiry}" == made.text("username").partition(":")[0]
    assert expiry <= time.time() + 600


def test_prints_the_credentials_for_a_person(run: Run, session_id: str) -> None:
    """One field a line."""
    lines = run("turn", "create", "--session", session_id).out.splitlines()

    assert ["urls", "username", "credential", "expire_time"] == [line.split()[0] for line in lines]


def test_a_lifetime_that_is_too_long_is_refused(run: Run, session_id: str) -> None:
    """By the authority, which says its limit."""
    refused = run("turn", "create", "--session", session_id, "--ttl", "2h")

    assert 1 == refused.exit_code
    assert "ttl: must be from 1s to 1 hour" in refused.err
