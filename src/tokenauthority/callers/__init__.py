"""Who is calling, and what the callers file grants them."""
