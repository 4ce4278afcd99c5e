"""Explain whether a caller may do something, and by which line of the callers file."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from tokenauthority.callers.registry import CallerEntry
from tokenauthority.domain.caller import ANY, Action
from tokenauthority.domain.counts import counted
from tokenauthority.domain.times import MAX_TTL, Seconds
from tokenauthority.domain.token import MAX_BATCH
from tokenauthority.domain.token_format import TokenFormat


@attrs.frozen(kw_only=True)
class AccessRequest:
    """What a caller wants to do. A field that is None or empty is not judged. *ttl* is in seconds.

    *vonage_application* is a UUID in lower case.
    """

    action: Action
    project: str = ""
    role: str = ""
    vonage_application: str = ""
    format: TokenFormat | None = None
    ttl: Seconds | None = None
    items: int = 1


@attrs.frozen
class AccessDecision:
    """The decision of one field of the caller; line 0 is a limit of the contract, which no file can raise."""

    allows: bool
    line: int
    text: str


def explain_access(entry: CallerEntry, request: AccessRequest) -> tuple[AccessDecision, ...]:
    """Return the decision of every field on *request*; the caller may do it if all decisions allow it."""
    return tuple(_decide(entry, request))


def _decide(entry: CallerEntry, request: AccessRequest) -> Iterator[AccessDecision]:
    grant = entry.caller.grant

    def decide(field: str, what: str, *, allows: bool) -> AccessDecision:
        if field not in entry.lines:
            verb = "allows" if allows else "refuses"
            return AccessDecision(allows, entry.line, f"{field} is left out, which {verb} {what}")
        return AccessDecision(allows, entry.lines[field], f"{field} {'allows' if allows else 'does not allow'} {what}")

    yield decide("actions", request.action, allows=request.action in grant.actions)
    # All projects include all applications, whatever the field of the applications says.
    applications = "projects" if ANY in grant.projects else "vonage_applications"
    named = (
        ("projects", "project", request.project, grant.allows_project),
        ("roles", "role", request.role, grant.allows_role),
        (applications, "application", request.vonage_application, grant.allows_application),
    )
    for field, kind, name, allows in named:
        if name:
            yield decide(field, f"{kind} {name}", allows=allows(name))
    if request.format is not None:
        yield decide("formats", f"format {request.format}", allows=grant.allows_format(request.format))
    if request.ttl is not None:
        within = decide("max_ttl", f"{request.ttl}s", allows=request.ttl <= grant.max_ttl)
        beyond = AccessDecision(allows=False, line=0, text=f"a token's lifetime is from 1s to {MAX_TTL}s")
        yield within if 1 <= request.ttl <= MAX_TTL else beyond
    if request.items > MAX_BATCH:
        yield AccessDecision(allows=False, line=0, text=f"a batch has at most {MAX_BATCH} items")
    items = counted(request.items, "item")
    if grant.rate is not None:
        burst = "burst" if "burst" in entry.lines else "rate"
        yield decide(burst, f"{items} at once", allows=request.items <= grant.rate.burst)
    if grant.daily_quota is not None:
        yield decide("daily_quota", f"{items} a day", allows=request.items <= grant.daily_quota)
