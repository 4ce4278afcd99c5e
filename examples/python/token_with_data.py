"""Make a token with a role and connection data, which everyone in the session can read.

With `make run` in another terminal:

    source .tokenauthority/dev.env && .venv/bin/python examples/python/token_with_data.py
"""

from __future__ import annotations

from tokenauthority.client import Authority


with Authority.from_environment() as authority:
    session = authority.create_session()
    token = session.generate_token(role="publisher", data="username=bob")
    print(token)

    verdict = authority.verify_token(token, required_permissions=["publish"])

assert verdict.active
assert verdict.claims is not None
assert verdict.claims.role == "publisher"
assert verdict.claims.data == "username=bob"
print("role:", verdict.claims.role)
print("may:", ", ".join(verdict.claims.permissions))
print("data:", verdict.claims.data)
