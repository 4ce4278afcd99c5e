"""The writing half of the audit log: appends records to a chained, signed file and recovers from every failure."""
