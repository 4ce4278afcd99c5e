"""How a verifier decides and how long it waits, checked once."""

from __future__ import annotations

import math

from typing import TYPE_CHECKING, Final, TypedDict

import attrs

from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.times import MAX_LEEWAY, Seconds


if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_PROJECTS: Final = 1000
"""Of one WatchRevocations, by the contract."""

LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts to reach an authority that is away: what it takes back meanwhile is not known here."""


class VerifierOptions(TypedDict, total=False):
    """How a verifier shall be; what is left out has its default. Times are in seconds."""

    project_ids: Iterable[str]
    """1 to 1000 projects whose tokens it judges; default: the connection's. All others' are PROJECT_UNKNOWN: what it
    does not watch, it could not know to be taken back."""

    issuer: str
    """`iss` of the tokens, to the letter; default: what the authority says. Where it says another, that is an error."""

    max_staleness: float | None
    """For how long it judges with knowledge that could not be renewed (default 60); then it fails closed: every token
    is STALE. None: for ever, it fails open. Less than the authority's `limits.watch_heartbeat`, and it would be stale
    between two of them."""

    leeway: int
    """By how much its clock and the authority's may differ: 0 to 300, default 30."""

    max_silence: float
    """How long the authority may say nothing before it is asked anew: default 20, some of its heartbeats."""

    sync_timeout: float
    """How long `start` waits until everything is there: default 15."""

    max_revocations: int
    """How many it keeps, about 110 bytes each: default 10,000,000. With more it cannot judge and becomes stale."""


def _known(ids: Iterable[str]) -> frozenset[str]:
    if isinstance(ids, str):
        raise ValueError('project_ids is a list such as ["47000000"]')  # noqa: TRY004 - a bad value like the others
    return frozenset(ids)


@attrs.frozen(kw_only=True)
class VerifierSettings:
    """The options with their defaults; see VerifierOptions.

    Raises:
        ValueError: one is missing or out of its bounds; the message names it.
    """

    project_ids: frozenset[str] = attrs.field(converter=_known)
    issuer: str = ""
    max_staleness: float | None = 60.0
    leeway: Seconds = attrs.field(default=Seconds(30), converter=Seconds)
    max_silence: float = 20.0
    sync_timeout: float = 15.0
    max_revocations: int = 10_000_000

    def __attrs_post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    def _problem(self) -> str:
        ids = self.project_ids
        if not 1 <= len(ids) <= MAX_PROJECTS or not all(_is(str, each) and is_project_id(each) for each in ids):
            return f'project_ids must name 1 to {MAX_PROJECTS} projects, each a number in a string such as "47000000"'
        if not _is(str, self.issuer):
            return "issuer must be a string"
        if not _is(int, self.leeway) or not 0 <= self.leeway <= MAX_LEEWAY:
            return f"leeway must be a whole number of seconds from 0 to {MAX_LEEWAY}"
        waits = {
            "max_staleness": self.max_staleness,
            "max_silence": self.max_silence,
            "sync_timeout": self.sync_timeout,
        }
        for name, seconds in waits.items():
            if seconds is None and name == "max_staleness":
                continue
            if seconds is None or not _is((int, float), seconds) or not math.isfinite(seconds) or seconds <= 0:
                return f"{name} must be a number of seconds, more than 0"
        good = _is(int, self.max_revocations) and self.max_revocations >= 1
        return "" if good else "max_revocations must be a whole number, at least 1"


def _is(kind: type | tuple[type, ...], value: object) -> bool:
    """Whether *value* is one: values from a program's own configuration are strings, or true, before one knows."""
    return isinstance(value, kind) and not isinstance(value, bool)
