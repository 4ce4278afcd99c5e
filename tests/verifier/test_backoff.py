"""Attempts that fail come ever more seldom, up to a limit, and those of many verifiers not at the same moment."""

from __future__ import annotations

from tokenauthority.verifier.backoff import FIRST, LONGEST, Backoff


def test_pauses_double_up_to_a_limit_and_begin_anew() -> None:
    """Each is at least half of its longest."""
    backoff = Backoff()

    pauses = [backoff.pause() for _ in range(40)]
    backoff.succeeded()

    longest = [min(LONGEST, FIRST * 2**n) for n in range(40)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert 30 < len(set(pauses))
    assert backoff.pause() <= FIRST
