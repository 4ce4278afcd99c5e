"""Select records of a log by who asked, what for, when, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import attrs
import msgspec

from tokenauthority.audit.reading.files import Line
from tokenauthority.audit.record import AuditRecord


class LoggedRecord(AuditRecord, kw_only=True):
    """A record as it stands in a log. Lines that are about no RPC, such as `start`, lack what identifies one."""

    type: str
    seq: int = 0
    time: str = ""
    request_id: str = ""
    method: str = ""


@attrs.frozen(kw_only=True)
class Selection:
    """What a record must match; an empty field matches every record.

    A caller is found by its name or its identity. A session, a project or a token is also found in a batch. A method is
    found by its full name or its last part, an outcome by the code or the reason. `since` is inclusive, `until` is
    exclusive.
    """

    caller: str = ""
    session_id: str = ""
    token_id: str = ""
    project_id: str = ""
    method: str = ""
    request_id: str = ""
    trace_id: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, record: LoggedRecord) -> bool:
        """Return whether *record* matches every field."""
        return (
            self._is_in_time(record)
            and (not self.caller or self.caller in {record.caller, record.caller_identity})
            and (not self.session_id or self.session_id in _values(record, "session_id"))
            and (not self.project_id or self.project_id in _values(record, "project_id"))
            and (not self.token_id or self.token_id in {*record.token_ids, *(each.token_id for each in record.tokens)})
            and (not self.method or self.method in {record.method, record.method.rpartition("/")[2]})
            and (not self.request_id or self.request_id == record.request_id)
            and (not self.trace_id or self.trace_id == record.trace_id)
            and (not self.outcome or self.outcome.upper() in {record.code, record.reason})
        )

    def _is_in_time(self, record: LoggedRecord) -> bool:
        if self.since is None and self.until is None:
            return True
        try:
            moment = datetime.fromisoformat(record.time)
        except ValueError:
            return False
        if moment.utcoffset() is None:
            return False
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


_decoder: Final = msgspec.json.Decoder(LoggedRecord)


def select_records(lines: Iterable[Line], selection: Selection) -> Iterator[tuple[Line, LoggedRecord]]:
    """Yield the records that match *selection*, without checkpoints; skip lines that are not valid."""
    for line in lines:
        try:
            record = _decoder.decode(line.content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if record.type != "checkpoint" and selection.matches(record):
            yield line, record


def _values(record: LoggedRecord, field: str) -> set[str]:
    return {getattr(each, field) for each in (record, *record.tokens)}
