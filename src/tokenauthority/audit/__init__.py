"""The audit log: one line for each RPC, who asked for what and what was decided.

`writing` appends records to the log of a running server; `reading` verifies and searches logs without a server. The
modules beside them hold what both share: the record, the format of a line, checkpoints and the key that signs them.
"""
