"""Lifetimes, times and enums of the command line are checked before any call."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.times import Millis


OTHER_SESSION = make_session_id("47", "", relayed=True, now=Millis(1_700_000_000_000), random=bytes(18))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--expire-time", "2100-01-01T00:00:00"], "must be like 2026-12-24T18:00:00Z"),
        (["--expire-time", "tomorrow"], "must be like 2026-12-24T18:00:00Z"),
        (["--expire-time", "1764000000000"], "in seconds (not milliseconds) since 1970"),
        (["--ttl", "1x"], "must be like 90s"),
        (["--ttl", "999999999d"], "is longer than 100 years"),
        (["--ttl", "1h", "--expire-time", "1"], "give expire_time or ttl, not both"),
        (["--format", "jwt"], "is not one of"),
    ],
)
def test_an_invalid_option_is_a_usage_error(run: Run, options: list[str], message: str) -> None:
    """Exit code 2, and nothing was asked of the authority."""
    refused = run("tokens", "generate", "--session", OTHER_SESSION, *options)

    assert 2 == refused.exit_code
    assert message in refused.err
