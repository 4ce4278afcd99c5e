"""The writing half of the audit log: appends records to a chained, signed file and recovers from every failure."""

from tokenauthority.audit.writing.log import AuditLog, FileAuditLog, LogOptions
from tokenauthority.audit.writing.log_file import Disk


__all__ = ["AuditLog", "Disk", "FileAuditLog", "LogOptions"]
