"""Why an audit log cannot be used."""

from __future__ import annotations


class AuditLogError(OSError):
    """The server must not start with this log; the text names the file and what to do."""


class LostFileError(OSError):
    """The open file is not, or not as it was left, the file of its name any more."""
