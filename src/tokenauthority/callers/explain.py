"""Says whether a caller may do something, and by which line of the callers file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tokenauthority.domain.caller import Action
from tokenauthority.domain.times import MAX_TTL, Seconds
from tokenauthority.domain.token import MAX_BATCH, TokenFormat


if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenauthority.callers.registry import CallerEntry


@attrs.frozen(kw_only=True)
class Question:
    """What a caller wants to do. What is None or empty is not asked about. *ttl* is in seconds."""

    action: Action
    project: str = ""
    role: str = ""
    format: TokenFormat | None = None
    ttl: Seconds | None = None
    items: int = 1


@attrs.frozen
class Ruling:
    """What one field of the caller says; line 0 is a limit of the contract, which no file can lift."""

    allows: bool
    line: int
    text: str


def explain(entry: CallerEntry, question: Question) -> tuple[Ruling, ...]:
    """Every ruling on *question*; the caller may do it where all allow it."""
    return tuple(_rulings(entry, question))


def _rulings(entry: CallerEntry, question: Question) -> Iterator[Ruling]:
    grant = entry.caller.grant

    def ruling(field: str, what: str, *, allows: bool) -> Ruling:
        if field not in entry.lines:
            return Ruling(allows, entry.line, f"{field} is left out, which {'allows' if allows else 'refuses'} {what}")
        return Ruling(allows, entry.lines[field], f"{field} {'allows' if allows else 'does not allow'} {what}")

    yield ruling("actions", question.action, allows=question.action in grant.actions)
    if question.project:
        yield ruling("projects", f"project {question.project}", allows=grant.allows_project(question.project))
    if question.role:
        yield ruling("roles", f"role {question.role}", allows=grant.allows_role(question.role))
    if question.format is not None:
        yield ruling("formats", f"format {question.format}", allows=grant.allows_format(question.format))
    if question.ttl is not None:
        yield _lifetime(question.ttl) or ruling("max_ttl", f"{question.ttl}s", allows=question.ttl <= grant.max_ttl)
    if question.items > MAX_BATCH:
        yield Ruling(allows=False, line=0, text=f"a batch has at most {MAX_BATCH} items")
    if grant.rate is not None:
        burst = "burst" if "burst" in entry.lines else "rate"
        yield ruling(burst, f"{question.items} items at once", allows=question.items <= grant.rate.burst)
    if grant.daily_quota is not None:
        yield ruling("daily_quota", f"{question.items} items a day", allows=question.items <= grant.daily_quota)


def _lifetime(ttl: Seconds) -> Ruling | None:
    if 1 <= ttl <= MAX_TTL:
        return None
    return Ruling(allows=False, line=0, text=f"no token lives shorter than 1s or longer than {MAX_TTL}s")
