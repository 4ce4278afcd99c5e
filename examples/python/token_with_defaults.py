"""A token with every default: the role is publisher, and it is valid for 24 hours.

With `make run` in another terminal:

    source .tokenauthority/dev.env && .venv/bin/python examples/python/token_with_defaults.py
"""

from __future__ import annotations

from datetime import timedelta

from tokenauthority.client import Authority


with Authority.from_environment() as authority:
    session = authority.create_session()
    token = authority.generate_token(session.session_id)
    print(token)

    verdict = authority.verify_token(token)

assert verdict.active
assert verdict.claims is not None
assert verdict.claims.role == "publisher"
assert verdict.claims.expire_time - verdict.claims.issue_time == timedelta(hours=24)
print("role:", verdict.claims.role)
print("lifetime:", verdict.claims.expire_time - verdict.claims.issue_time)
