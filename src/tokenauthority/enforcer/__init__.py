"""Remove people from real-time servers whose tokens were revoked: a process of its own, and a caller like any other."""
