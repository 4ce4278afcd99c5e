"""The limits of a caller hold for all servers of a store together, whichever of them it calls."""

from __future__ import annotations

import signal

from tests.support.limited_servers import LimitedServers, passed, use_up
from tests.support.production import Production
from tokenauthority.config.settings import Settings
from tokenauthority.server.main import upgrade_database


RATE, BURST, QUOTA = 20, 20, 500
SHORT = 3.0
"""Seconds of load; `make chaos` makes it for a minute."""

PAUSE = 1 / (2 * RATE)


def test_three_servers_have_one_rate_and_one_quota(production: Production, postgres_url: str) -> None:
    """Three times the load has one limit. What a killed server held of the rate is there for the others.

    A restart of all servers gives no quota again.
    """
    upgrade_database(Settings.model_validate({"database": {"url": postgres_url}}))
    limited = LimitedServers(production=production, url=postgres_url, per_second=RATE, burst=BURST, quota=QUOTA)
    servers = limited.start(3)
    with limited.calls(servers, limited.rated) as rated, limited.calls(servers, limited.counted) as counted:
        three, time_of_three = passed(rated, SHORT, PAUSE)
        before = [call() for call in counted * 10]
        servers[2].process.send_signal(signal.SIGKILL)
        two, time_of_two = passed(rated[:2], SHORT, PAUSE)
        rest = use_up(counted[:2], 2 * QUOTA)
    stopped = [server.stop() for server in servers[:2]]
    with limited.calls(limited.start(1), limited.counted) as again:
        after_restart = use_up(again, QUOTA)

    assert 0.95 * RATE * time_of_three <= three <= BURST + RATE * (time_of_three + 1)
    assert 0.95 * RATE * time_of_two <= two <= BURST + RATE * (time_of_two + 1)
    assert ["OK"] * 30 == before
    assert [0, 0] == stopped
    assert 0.98 * QUOTA <= 30 + rest + after_restart <= QUOTA
