"""Show what callers have used of their limits, at all servers together: `tokenauthority callers usage`."""

from __future__ import annotations

import time

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.callers_file import file_argument, load_valid_file
from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import Record, show_list
from tokenauthority.cli.server import config_option, load_settings


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Grant
    from tokenauthority.domain.leases import CallerUsage
    from tokenauthority.domain.times import Millis


_COLUMNS: Final = ("name", "rate", "free", "daily_quota", "used_today", "left_today")


@click.command("usage", cls=Command)
@file_argument
@config_option
def show_usage(file: Path | None, config_file: Path | None) -> None:
    """Show what the callers of FILE have used of their rate and daily quota, at all servers of the store together.

    This command reads the store itself, with the server's settings. What servers have leased counts as used. `free` is
    what is left of the burst now. Days are UTC. Nothing is counted of a caller without a limit.
    """
    from tokenauthority.config.loading import ConfigError
    from tokenauthority.domain.times import Millis
    from tokenauthority.server.usage import read_usage

    entries = load_valid_file(file, config_file).entries
    try:
        usages = {usage.caller: usage for usage in read_usage(load_settings(config_file, complete=False))}
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    grants = {entry.caller.name: entry.caller.grant for entry in entries}
    now = Millis(time.time_ns() // 1_000_000)
    rows = [_row(name, grant, usages.get(name), now) for name, grant in grants.items()]
    show_list(rows, _COLUMNS, as_json=current().as_json)


def _row(name: str, grant: Grant, usage: CallerUsage | None, now: Millis) -> Record:
    from tokenauthority.domain.leases import CallerUsage, free_burst, used_on_day

    usage, rate, quota = usage or CallerUsage(caller=name), grant.rate, grant.daily_quota
    used = used_on_day(usage, now)
    return {
        "name": name,
        "rate": None if rate is None else str(rate),
        "free": None if rate is None else free_burst(usage, rate, now),
        "daily_quota": quota,
        "used_today": None if rate is None and quota is None else used,
        "left_today": None if quota is None else max(0, quota - used),
    }
