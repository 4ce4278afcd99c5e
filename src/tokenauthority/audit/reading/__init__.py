"""The reading half of the audit log: verifies and searches the files of a log without its server."""

from tokenauthority.audit.reading.files import FirstLineError, Line, in_order, is_companion, is_log, read_lines
from tokenauthority.audit.reading.report import Report, describe_result, describe_trusted
from tokenauthority.audit.reading.selection import LoggedRecord, Selection, select_records
from tokenauthority.audit.reading.trusted_checkpoint import (
    TrustedCheckpoint,
    TrustedCheckpointError,
    find_trusted_checkpoint,
    read_trusted_checkpoint,
)
from tokenauthority.audit.reading.verify import verify_log


__all__ = [
    "FirstLineError",
    "Line",
    "LoggedRecord",
    "Report",
    "Selection",
    "TrustedCheckpoint",
    "TrustedCheckpointError",
    "describe_result",
    "describe_trusted",
    "find_trusted_checkpoint",
    "in_order",
    "is_companion",
    "is_log",
    "read_lines",
    "read_trusted_checkpoint",
    "select_records",
    "verify_log",
]
