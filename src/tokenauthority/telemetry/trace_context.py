"""Read the trace that a caller's call belongs to, as W3C Trace Context writes it. Pure.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re

from collections.abc import Mapping, Sequence
from typing import Final

import attrs


TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_MAX_STATE: Final = 512
"""Characters of `tracestate`: what the recommendation asks everybody to pass on. A longer one is dropped."""

_MAX_MEMBERS: Final = 32

_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<parent_id>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-[!-~]{0,200})?",
    re.ASCII,
)
_MEMBER: Final = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]", re.ASCII)
"""`key=value` of `tracestate`."""
_SAMPLED: Final = 0x01


@attrs.frozen
class TraceContext:
    """What a caller sent: the trace, the caller's span in it, what systems on the way noted, and whether it samples."""

    trace_id: str
    """32 characters of hex."""
    parent_id: str
    """16 characters of hex."""
    state: str
    """The members of `tracestate`, at most 512 characters."""
    sampled: bool


def read_context(metadata: Mapping[str, Sequence[str | bytes]]) -> TraceContext | None:
    """Return what the *metadata* of a call say; None where there is no `traceparent`, or none that is valid."""
    given = metadata.get(TRACEPARENT, ())
    if len(given) != 1 or not isinstance(given[0], str):
        return None
    found = _TRACEPARENT.fullmatch(given[0])
    # A later version may have more fields.
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    sampled = bool(int(found["flags"], 16) & _SAMPLED)
    return TraceContext(found["trace_id"], found["parent_id"], _state(metadata.get(TRACESTATE, ())), sampled)


def _state(given: Sequence[str | bytes]) -> str:
    """Return the members of all headers; empty where they are too long or malformed."""
    if sum(map(len, given)) > _MAX_STATE:
        return ""
    state = ",".join(part for part in given if isinstance(part, str))
    members = [member for each in state.split(",") if (member := each.strip(" \t"))]
    valid = len(state) <= _MAX_STATE and len(members) <= _MAX_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return ",".join(members) if valid else ""
