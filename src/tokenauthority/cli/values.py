"""Parse the values of the command line: lifetimes, times, the contract's enums, secrets in files."""

from __future__ import annotations

import re
import sys

from datetime import datetime, timedelta
from typing import Final

import click

from tokenauthority.cli.output import print_text
from tokenauthority.domain.profile import RealTimeServer
from tokenauthority.domain.token_format import TokenFormat


MAX_INPUT: Final = 65_536
"""Characters that are read of a file or of standard input with a token or a secret."""

MAX_LIFETIME: Final = 100 * 365 * 86_400
"""Seconds: far above the limit of any authority, which reports its own limit, and within the contract's range."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LIFETIME: Final = re.compile(r"(?:[0-9]{1,9}[smhd]?|(?:[0-9]{1,9}[smhd]){2,4})", re.ASCII)

MEDIA_MODES: Final = click.Choice(["relayed", "routed"], case_sensitive=False)
ARCHIVE_MODES: Final = click.Choice(["manual", "always"], case_sensitive=False)
SESSION_STATES: Final = click.Choice(["active", "ended"], case_sensitive=False)
FORMATS: Final = click.Choice([each.lower() for each in TokenFormat], case_sensitive=False)
ALGORITHMS: Final = click.Choice(["es256", "eddsa", "rs256"], case_sensitive=False)
PERMISSIONS: Final = click.Choice(
    ["subscribe", "publish", "signal", "force_disconnect", "force_unpublish", "force_mute"], case_sensitive=False
)


class _Lifetime(click.ParamType[timedelta]):
    name = "lifetime"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        text = str(value)
        if not _LIFETIME.fullmatch(text):
            self.fail("must be like 90s, 15m, 12h, 30d or 1h30m; a number without a unit is in seconds", param, ctx)
        parts = re.findall(r"([0-9]+)([smhd]?)", text)
        seconds = sum(int(count) * _UNITS[unit or "s"] for count, unit in parts)
        if seconds > MAX_LIFETIME:
            self.fail("is longer than 100 years", param, ctx)
        return timedelta(seconds=seconds)


class _Moment(click.ParamType[int | datetime]):
    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime:
        if isinstance(value, int | datetime):
            return value
        text = str(value)
        if text.isascii() and text.isdigit():
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.utcoffset() is None:
            self.fail("must be like 2026-12-24T18:00:00Z, or in seconds since 1970", param, ctx)
        return moment


class _Servers(click.ParamType[tuple[str, ...]]):
    name = "servers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip().upper() for name in str(value).split(",") if name.strip())
        if not set(names) <= set(RealTimeServer):
            known = ", ".join(each.lower() for each in RealTimeServer)
            self.fail(f"must name some of {known}, separated by commas, or be empty", param, ctx)
        return names


LIFETIME: Final = _Lifetime()
SERVERS: Final = _Servers()
MOMENT: Final = _Moment()


def read_text(path: str, what: str, limit: int = MAX_INPUT) -> str:
    """Read a file, or standard input if *path* is `-`, and return its text without white space around it.

    Raises:
        UsageError: the text is empty, longer than *limit* characters or not UTF-8.
        OSError: the file cannot be read.
    """
    if path == "-" and sys.stdin.isatty():
        print_text(f"reading the {what} from standard input; end it with Ctrl-D", err=True)
    # Editors of Windows begin a file with a byte order mark, which is no part of a token or a secret.
    with click.open_file(path, encoding="utf-8-sig") as file:
        try:
            text = str(file.read(limit + 1))
        except UnicodeDecodeError:
            raise click.UsageError(f"the {what} is not text in UTF-8") from None
    if len(text) > limit:
        raise click.UsageError(f"the {what} is longer than {limit} characters")
    if not text.strip():
        raise click.UsageError(f"the {what} is empty")
    return text.strip()
