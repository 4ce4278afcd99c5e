"""Whoever is asked confirms, declines, or is not there."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("answer", "code", "said"), [("y\n", 1, "KEY_NOT_FOUND"), ("n\n", 1, "Aborted"), ("", 2, "--yes")]
)
def test_only_yes_goes_on(run: Run, answer: str, code: int, said: str) -> None:
    """Without an answer the command names the option for scripts."""
    outcome = run("keys", "revoke", "a" * 43, stdin=answer)

    assert code == outcome.exit_code
    assert said in outcome.err
