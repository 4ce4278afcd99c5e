"""`tokenauthority callers usage`: use against limit, at all servers of a store together."""

from __future__ import annotations

import asyncio
import time

from pathlib import Path

from tests.cli.conftest import Run
from tokenauthority.domain.caller import Rate
from tokenauthority.domain.leases import LeaseRequest
from tokenauthority.domain.times import Millis
from tokenauthority.storage.migrate import migrate
from tokenauthority.storage.sql import open_store


FILE = """
[[callers]]
name           = "limited"
api_key_sha256 = "{}"
projects       = ["*"]
actions        = ["projects.read"]
rate           = "1/d"
burst          = 50
daily_quota    = 100

[[callers]]
name           = "idle"
api_key_sha256 = "{}"
projects       = ["*"]
actions        = ["projects.read"]
daily_quota    = 7

[[callers]]
name           = "unlimited"
api_key_sha256 = "{}"
projects       = ["*"]
actions        = ["projects.read"]
""".format("a" * 64, "b" * 64, "c" * 64)


async def lease(url: str, *requests: LeaseRequest) -> None:
    """Lease items, as a server does."""
    store = open_store(url)
    await store.lease(requests, Millis(time.time_ns() // 1_000_000))
    await store.close()


def test_shows_what_callers_have_used(run_alone: Run, tmp_path: Path) -> None:
    """Of each limit in the file; a caller that has not called has used nothing, and a former one has no row.

    What may be leased ahead of the rate is not free: the caller would be refused. Without a limit nothing is counted.
    """
    (tmp_path / "callers.toml").write_text(FILE)
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    limited = LeaseRequest(caller="limited", rate=Rate(1 / 86_400, 50), quota=100, needed=30)
    asyncio.run(lease(url, limited, LeaseRequest(caller="former", rate=None, quota=9, needed=9)))
    env = {"TOKENAUTHORITY_DATABASE__URL": url, "TOKENAUTHORITY_CALLERS__FILE": str(tmp_path / "callers.toml")}
    shown = run_alone("callers", "usage", "--json", env=env)

    assert [
        {
            "name": "limited",
            "rate": "1/d",
            "free": 20,
            "daily_quota": 100,
            "used_today": 30,
            "left_today": 70,
        },
        {"name": "idle", "rate": None, "free": None, "daily_quota": 7, "used_today": 0, "left_today": 7},
        {
            "name": "unlimited",
            "rate": None,
            "free": None,
            "daily_quota": None,
            "used_today": None,
            "left_today": None,
        },
    ] == shown.rows
    assert "limited" in run_alone("callers", "usage", env=env).out


def test_a_store_that_cannot_be_read_is_named(run_alone: Run, tmp_path: Path) -> None:
    """With the setting that names it."""
    (tmp_path / "callers.toml").write_text(FILE)
    env = {"TOKENAUTHORITY_DATABASE__URL": f"sqlite:///{tmp_path}/none.db"}
    shown = run_alone("callers", "usage", str(tmp_path / "callers.toml"), env=env)

    assert 2 == shown.exit_code
    assert "TOKENAUTHORITY_DATABASE__URL" in shown.err
