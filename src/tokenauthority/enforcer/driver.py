"""Define what a driver of a real-time server does: find whom to remove, and remove them."""

from __future__ import annotations

import asyncio

from collections.abc import Coroutine, Iterable, Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeVar

import attrs

from tokenauthority.enforcer.admin_api import AdminApiError
from tokenauthority.enforcer.pending import Wanted


MAX_CONCURRENT: Final = 256
"""Pieces of work for one server at the same time, and the most that `max_concurrent` of the settings can allow."""

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
    """Run all *work*, a bounded part at the same time; return what it returned, in order, and its first AdminApiError.

    The iterable is read as far as work begins: let it make the coroutines one by one. Any other exception is raised
    after all work has ended.
    """
    todo = enumerate(work)
    done: dict[int, T] = {}
    problems: dict[int, AdminApiError] = {}
    unforeseen: Exception | None = None

    async def worker() -> None:
        nonlocal unforeseen
        for number, each in todo:
            try:
                done[number] = await each
            except AdminApiError as error:
                problems[number] = error
            except Exception as error:  # noqa: BLE001 - raised below, after the work of all others
                unforeseen = unforeseen or error

    await asyncio.gather(*(worker() for _ in range(MAX_CONCURRENT)))
    if unforeseen is not None:
        raise unforeseen
    return [done[number] for number in sorted(done)], problems[min(problems)] if problems else None
