"""Print what a JWT proves, check by check: `tokenauthority callers check --jwt`."""

from __future__ import annotations

import asyncio
import time

from typing import TYPE_CHECKING, Final

import click

from tokenauthority.cli.options import current
from tokenauthority.cli.output import print_text, printable, to_json
from tokenauthority.cli.values import read_text


if TYPE_CHECKING:
    from tokenauthority.callers.registry import CallerRegistry


_UNREACHABLE: Final = 3
_MARKS: Final = {True: "ok", False: "NO", None: "??"}


def print_jwt_checks(path: str, callers: CallerRegistry) -> None:
    """Print whether the JWT in the file *path*, or on standard input for `-`, proves a caller, and never the JWT.

    The exit code is 1 if it proves none, and 3 if only the keys of its issuer cannot be fetched.
    """
    from tokenauthority.callers.explain_jwt import explain_jwt
    from tokenauthority.callers.jwks_sources import source_of
    from tokenauthority.domain.times import Seconds

    token, now = read_text(path, "JWT"), Seconds(int(time.time()))
    checks = asyncio.run(explain_jwt(token, callers, now, lambda issuer: source_of(issuer).load()))
    valid = all(check.passed for check in checks)
    if current().as_json:
        found = [{"part": check.part, "passed": check.passed, "text": check.text} for check in checks]
        print_text(to_json({"valid": valid, "checks": found}))
    else:
        print_text("yes" if valid else "no")
        for check in checks:
            print_text(f"  {_MARKS[check.passed]}  {check.part}: {printable(check.text)}")
    if not valid:
        refused = any(check.passed is False for check in checks)
        click.get_current_context().exit(1 if refused else _UNREACHABLE)
