"""`tokenauthority callers usage`: use against limit, at all servers of a store together."""

from __future__ import annotations

import asyncio
import time

from collections.abc import Mapping
from datetime import UTC, datetime
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


LIMITED = LeaseRequest(caller="limited", rate=Rate(1 / 86_400, 50), quota=100, needed=30)


async def lease(url: str, now: Millis) -> None:
    """Lease items, as a server does."""
    store = open_store(url)
    await store.lease([LIMITED, LeaseRequest(caller="former", rate=None, quota=9, needed=9)], now)
    await store.close()


def store_with_usage(directory: Path) -> tuple[Mapping[str, str], Millis]:
    """Return the settings of a server with the callers file and a store, and when callers used it."""
    (directory / "callers.toml").write_text(FILE)
    url = f"sqlite:///{directory}/store.db"
    migrate(url)
    # An hour ahead, so that no midnight passes before the command runs: a day never begins again.
    now = Millis(time.time_ns() // 1_000_000 + 3_600_000)
    asyncio.run(lease(url, now))
    return {
        "TOKENAUTHORITY_DATABASE__URL": url,
        "TOKENAUTHORITY_CALLERS__FILE": str(directory / "callers.toml"),
    }, now


def test_shows_what_callers_have_used(run_alone: Run, tmp_path: Path) -> None:
    """Of each limit in the file; a caller that has not called has used nothing, and a former one has no row.

    What may be leased ahead of the rate is not free: the caller would be refused. Without a limit nothing is counted.
    """
    env, now = store_with_usage(tmp_path)
    today = datetime.fromtimestamp(now / 1000, UTC).date().isoformat()
    shown = run_alone("callers", "usage", "--json", env=env)

    assert [
        {
            "name": "limited",
            "rate": "1/d",
            "free": 20,
            "daily_quota": 100,
            "used_today": 30,
            "left_today": 70,
            "last_used": today,
        },
        {
            "name": "idle",
            "rate": None,
            "free": None,
            "daily_quota": 7,
            "used_today": 0,
            "left_today": 7,
            "last_used": None,
        },
        {
            "name": "unlimited",
            "rate": None,
            "free": None,
            "daily_quota": None,
            "used_today": None,
            "left_today": None,
            "last_used": None,
        },
    ] == shown.rows
    assert "limited" in run_alone("callers", "usage", env=env).out


def test_the_list_of_callers_shows_their_use(run_alone: Run, tmp_path: Path) -> None:
    """With the settings of a server; a caller without a limit has no use."""
    env, now = store_with_usage(tmp_path)
    today = datetime.fromtimestamp(now / 1000, UTC).date().isoformat()
    shown = run_alone("callers", "list", "--json", env=env)

    assert [("limited", 100, 30, 20, today), ("idle", 7, 0, None, None), ("unlimited", None, None, None, None)] == [
        tuple(row[name] for name in ("name", "daily_quota", "used_today", "free", "last_used")) for row in shown.rows
    ]
    assert "" == shown.err
    assert today in run_alone("callers", "list", env=env).out


def test_the_list_of_callers_needs_no_store(run_alone: Run, tmp_path: Path) -> None:
    """One line says why use is not shown."""
    (tmp_path / "callers.toml").write_text(FILE)
    env = {"TOKENAUTHORITY_DATABASE__URL": f"sqlite:///{tmp_path}/none.db"}
    shown = run_alone("callers", "list", "--json", str(tmp_path / "callers.toml"), env=env)

    assert (0, {(100, None), (7, None), (None, None)}) == (
        shown.exit_code,
        {(row["daily_quota"], row["used_today"]) for row in shown.rows},
    )
    assert shown.err.startswith("use is not shown: TOKENAUTHORITY_DATABASE__URL: there is no store at ")
    assert 1 == shown.err.count("\n")


def test_a_store_that_cannot_be_read_is_named(run_alone: Run, tmp_path: Path) -> None:
    """With the setting that names it."""
    (tmp_path / "callers.toml").write_text(FILE)
    env = {"TOKENAUTHORITY_DATABASE__URL": f"sqlite:///{tmp_path}/none.db"}
    shown = run_alone("callers", "usage", str(tmp_path / "callers.toml"), env=env)

    assert 2 == shown.exit_code
    assert "TOKENAUTHORITY_DATABASE__URL" in shown.err
