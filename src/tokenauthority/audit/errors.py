"""Why an audit log cannot be used."""

from __future__ import annotations


class AuditLogError(OSError):
    """The server must not start with this log; the text names the file and what to do."""


class NotRenamedError(OSError):
    """The full file could not get another name; it is as it was and can be written on."""


class LostFileError(OSError):
    """The open file is not, or not as it was left, the file of its name any more."""
