"""Make a token from the session object, and verify that the token is for that session alone.

With `make run` in another terminal:

    source .tokenauthority/dev.env && .venv/bin/python examples/python/token_from_session.py
"""

from __future__ import annotations

from tokenauthority.client import Authority


with Authority.from_environment() as authority:
    session = authority.create_session(media_mode="routed")
    token = session.generate_token(role="moderator")
    print(token)

    here = authority.verify_token(token, session_id=session.session_id, required_permissions=["force_disconnect"])
    elsewhere = authority.verify_token(token, session_id=authority.create_session().session_id)

assert here.active
assert not elsewhere.active
assert elsewhere.reason == "SESSION_MISMATCH"
print("for its own session:", "valid" if here else here.reason)
print("for another session:", "valid" if elsewhere else elsewhere.reason)
