"""Define the options of a verifier, and check them once."""

from __future__ import annotations

import math

from collections.abc import Iterable
from typing import Final, TypedDict

import attrs

from tokenauthority.domain.ids import is_project_id
from tokenauthority.domain.times import MAX_LEEWAY, Seconds


MAX_PROJECTS: Final = 1000
"""Of one WatchRevocations, by the contract."""

LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts to reach an authority, at most: what it revokes meanwhile is unknown here."""


class VerifierOptions(TypedDict, total=False):
    """The options of a verifier; an option that is left out has its default. Times are in seconds."""

    project_ids: Iterable[str]
    """The 1 to 1000 projects whose tokens it checks; default: the project of the connection. A token of another project
    is PROJECT_UNKNOWN, as the verifier does not watch its revocations."""

    issuer: str
    """The exact `iss` of the tokens; default: the issuer that the authority names. It is an error if the authority
    names another."""

    max_staleness: float | None
    """How old the keys and revocations may be, default 60. If they are older, it fails closed: every token is STALE.
    None: no limit, it fails open. With less than the authority's `limits.watch_heartbeat` it is STALE between two
    heartbeats."""

    leeway: int
    """How far its clock and the authority's clock may differ: 0 to 300, default 30."""

    max_silence: float
    """How long the authority may send nothing before the stream is opened again: default 20, several heartbeats."""

    sync_timeout: float
    """How long `start` waits for the keys and revocations: default 15."""

    max_revocations: int
    """The number of revocations and ended sessions that it stores, about 110 bytes each: default 10,000,000. If more
    are in force, it cannot check tokens and becomes stale."""


def _to_project_ids(ids: Iterable[str]) -> frozenset[str]:
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise ValueError('project_ids is a list such as ["47000000"]')  # noqa: TRY004 - as any invalid value
    return frozenset(each if _is(str, each) else "" for each in ids)


@attrs.frozen(kw_only=True)
class VerifierSettings:
    """The options with their defaults; see VerifierOptions.

    Raises:
        ValueError: an option is missing or out of its bounds; the message names it.
    """

    project_ids: frozenset[str] = attrs.field(converter=_to_project_ids)
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
        if not 1 <= len(ids) <= MAX_PROJECTS or not all(map(is_project_id, ids)):
            return f'project_ids must name 1 to {MAX_PROJECTS} projects, each a number in a string such as "47000000"'
        if not _is(str, self.issuer):
            return "issuer must be a string"
        if not _is(int, self.leeway) or not 0 <= self.leeway <= MAX_LEEWAY:
            return f"leeway must be a whole number of seconds from 0 to {MAX_LEEWAY}"
        for name in ("max_staleness", "max_silence", "sync_timeout"):
            seconds = getattr(self, name)
            if seconds is None and name == "max_staleness":
                continue
            if not _is((int, float), seconds) or not math.isfinite(seconds) or seconds <= 0:
                return f"{name} must be a number of seconds, more than 0"
        is_valid = _is(int, self.max_revocations) and self.max_revocations >= 1
        return "" if is_valid else "max_revocations must be a whole number, at least 1"


def _is(kind: type | tuple[type, ...], value: object) -> bool:
    """Check the type: a value from a program's own configuration may be a string or a bool."""
    return isinstance(value, kind) and not isinstance(value, bool)
