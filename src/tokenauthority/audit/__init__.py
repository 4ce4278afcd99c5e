"""The audit log: one line for each RPC, who asked for what and what was decided."""
