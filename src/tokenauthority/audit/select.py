"""Picks lines out of a log by who asked, what for, when, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs
import msgspec


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenauthority.audit.files import Line


class _Token(msgspec.Struct):
    token_id: str = ""
    project_id: str = ""
    session_id: str = ""
    role: str = ""


class SelectedRecord(msgspec.Struct, kw_only=True):
    """What is shown of a line, and what it is picked by."""

    type: str
    seq: int = 0
    time: str = ""
    request_id: str = ""
    method: str = ""
    caller: str = ""
    caller_identity: str = ""
    peer: str = ""
    project_id: str = ""
    session_id: str = ""
    role: str = ""
    token_ids: tuple[str, ...] = ()
    tokens: tuple[_Token, ...] = ()
    code: str = ""
    reason: str = ""

    @property
    def moment(self) -> datetime | None:
        """`time`; None where it is none."""
        try:
            return datetime.fromisoformat(self.time)
        except ValueError:
            return None


@attrs.frozen(kw_only=True)
class Selection:
    """What a line must have; what is empty picks every line.

    A caller is found by its name or its identity; a session, project or token also where it is one of a batch; a method
    by its full name or its last part; an outcome by the code or the reason. `since` is inclusive, `until` exclusive.
    """

    caller: str = ""
    session_id: str = ""
    token_id: str = ""
    project_id: str = ""
    method: str = ""
    request_id: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, entry: SelectedRecord) -> bool:
        """Whether *entry* is picked."""
        return (
            self._is_in_time(entry)
            and (not self.caller or self.caller in {entry.caller, entry.caller_identity})
            and (not self.session_id or self.session_id in _values(entry, "session_id"))
            and (not self.project_id or self.project_id in _values(entry, "project_id"))
            and (not self.token_id or self.token_id in entry.token_ids or self.token_id in _values(entry, "token_id"))
            and (not self.method or self.method in {entry.method, entry.method.rpartition("/")[2]})
            and (not self.request_id or self.request_id == entry.request_id)
            and (not self.outcome or self.outcome.upper() in {entry.code, entry.reason})
        )

    def _is_in_time(self, entry: SelectedRecord) -> bool:
        if self.since is None and self.until is None:
            return True
        moment = entry.moment
        return (
            moment is not None
            and (self.since is None or moment >= self.since)
            and (self.until is None or moment < self.until)
        )


_entries: Final = msgspec.json.Decoder(SelectedRecord)


def selected(lines: Iterable[Line], selection: Selection) -> Iterator[tuple[Line, SelectedRecord]]:
    """The lines that *selection* takes, checkpoints apart; what is no record is passed over (`verify` finds it)."""
    for line in lines:
        try:
            entry = _entries.decode(line.content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if entry.type != "checkpoint" and selection.takes(entry):
            yield line, entry


def _values(entry: SelectedRecord, field: str) -> set[str]:
    return {getattr(each, field, "") for each in (entry, *entry.tokens)}
