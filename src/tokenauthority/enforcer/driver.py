"""Define what a driver of a real-time server does: find whom to remove, and remove them."""

from __future__ import annotations

import asyncio

from collections.abc import Coroutine, Iterable, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import attrs

from tokenauthority.enforcer.admin_api import AdminApiError
from tokenauthority.enforcer.pending import Wanted


T = TypeVar("T")


class Outcome(StrEnum):
    """What came of a removal."""

    REMOVED = "removed"
    GONE = "gone"
    """Nobody was there any more."""
    ASKED = "asked"
    """The server does not say whether anybody was there."""
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class Present:
    """Somebody in a room, or everybody if the subject is empty; with an empty room, somebody wherever they are.

    `handle` is what the server knows the connection by, if it is one of several.
    """

    room: str
    subject: str
    handle: str = ""


@attrs.frozen
class Found:
    """Who was found, and why others may be missing, if anything failed."""

    people: Sequence[Present]
    problem: AdminApiError | None = None


class Driver(Protocol):
    """One server. Each method raises `AdminApiError`."""

    async def find(self, wanted: Wanted) -> Found:
        """Return who is inside and must not be."""

    async def remove(self, present: Present) -> Outcome:
        """Remove somebody; it never returns `FAILED`."""


async def all_of(work: Iterable[Coroutine[object, object, T]]) -> tuple[list[T], AdminApiError | None]:
    """Run *work* at the same time to its end; return what it returned, in order, and its first AdminApiError."""
    done: list[T] = []
    problem: AdminApiError | None = None
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, AdminApiError):
            problem = problem or result
        elif isinstance(result, BaseException):
            raise result
        else:
            done.append(result)
    return done, problem
