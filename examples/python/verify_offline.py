"""A media server checks tokens by itself, and learns of revocations.

With `make run` in another terminal:

    source .tokenauthority/dev.env && .venv/bin/python examples/python/verify_offline.py
"""

from __future__ import annotations

import time

from tokenauthority.client import Authority
from tokenauthority.verifier import Verifier


with Authority.from_environment() as authority, Verifier.from_environment(max_staleness=30) as verifier:
    session = authority.create_session()
    token = session.generate_token(role="publisher", format="session_jwt")
    print(token)

    verdict = verifier.verify(token, session_id=session.session_id, required_permissions=["publish"])
    assert verdict
    assert verdict.claims is not None
    print("may:", ", ".join(verdict.claims.permissions))
    print(f"decided with revocations that are {verdict.age:.0f}s old")

    authority.end_session(session.session_id)
    deadline = time.monotonic() + 10
    while verifier.verify(token) and time.monotonic() < deadline:
        time.sleep(0.01)
    verdict = verifier.verify(token)

assert not verdict
assert verdict.reason == "SESSION_ENDED"
print("refused:", verdict.reason)
