"""The reading half of the audit log: verifies and searches the files of a log without its server."""
