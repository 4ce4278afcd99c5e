"""The errors that say why an audit log cannot be used."""


class AuditLogError(OSError):
    """The server must not start with this log; the message names the file and what to do."""


class AuditLogInUseError(AuditLogError):
    """Another server writes to this log."""


class NotRenamedError(OSError):
    """The full file could not be renamed; the file is unchanged and can be written on."""


class LostFileError(OSError):
    """The path of the log no longer names the open file, or somebody else changed the open file."""
