"""Show what callers have used of their limits, at all servers together: `tokenauthority callers usage`."""

from __future__ import annotations

import time

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.callers_file import file_argument, load_valid_file
from tokenauthority.cli.failures import ConfigurationFailure
from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import Record, show_list
from tokenauthority.cli.server import config_option, load_settings


if TYPE_CHECKING:
    from tokenauthority.domain.caller import Caller
    from tokenauthority.domain.leases import CallerUsage


_COLUMNS: Final = ("name", "rate", "free", "daily_quota", "used_today", "left_today", "last_used")


@click.command("usage", cls=Command)
@file_argument
@config_option
def show_usage(file: Path | None, config_file: Path | None) -> None:
    """Show what the callers of FILE have used of their rate and daily quota, at all servers of the store together.

    This command reads the store itself, with the server's settings. What servers have leased counts as used. `free` is
    what is left of the burst now. Days are UTC. `last_used` goes back 31 days. Nothing is counted of a caller without a
    limit.
    """
    from tokenauthority.config.loading import ConfigError

    callers = {entry.caller.name: entry.caller for entry in load_valid_file(file, config_file).entries}
    try:
        usages = stored_usage(config_file)
    except ConfigError as error:
        raise ConfigurationFailure(str(error)) from error
    rows: list[Record] = [{"name": name, **usage_fields(caller, usages)} for name, caller in callers.items()]
    show_list(rows, _COLUMNS, as_json=current().as_json)


def stored_usage(config_file: Path | None) -> Mapping[str, CallerUsage]:
    """Return the usage of callers by their names, from the store of the settings.

    Raises:
        ConfigError: the store cannot be read.
    """
    from tokenauthority.server.usage import read_usage

    return {usage.caller: usage for usage in read_usage(load_settings(config_file, complete=False))}


def usage_fields(caller: Caller, usages: Mapping[str, CallerUsage] | None) -> Record:
    """Return the limits of *caller* and the use of each: None without a limit, and where *usages* are not known."""
    from tokenauthority.domain.leases import CallerUsage, free_burst, last_used_on, used_on_day
    from tokenauthority.domain.times import Millis

    rate, quota = caller.grant.rate, caller.grant.daily_quota
    fields: Record = {"rate": None if rate is None else str(rate), "daily_quota": quota}
    if usages is None or (rate is None and quota is None):
        return {**fields, **dict.fromkeys(("free", "used_today", "left_today", "last_used"))}
    now, usage = Millis(time.time_ns() // 1_000_000), usages.get(caller.name) or CallerUsage(caller=caller.name)
    used, last = used_on_day(usage, now), last_used_on(usage)
    return {
        **fields,
        "free": None if rate is None else free_burst(usage, rate, now),
        "used_today": used,
        "left_today": None if quota is None else max(0, quota - used),
        "last_used": None if last is None else last.isoformat(),
    }
