"""Make a token with an expiry time, at most 30 days ahead.

With `make run` in another terminal:

    source .tokenauthority/dev.env && .venv/bin/python examples/python/token_with_expire_time.py
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tokenauthority.client import Authority, InvalidArgument


with Authority.from_environment() as authority:
    session = authority.create_session()
    in_a_week = datetime.now(UTC) + timedelta(days=7)
    token = session.generate_token(expire_time=in_a_week, data="name=Johnny")
    print(token)

    verdict = authority.verify_token(token)
    assert verdict.active
    assert verdict.claims is not None
    assert verdict.claims.expire_time == in_a_week.replace(microsecond=0)
    print("valid until:", verdict.claims.expire_time)

    try:
        session.generate_token(expire_time=in_a_week + timedelta(days=30))
    except InvalidArgument as error:
        print("37 days are refused:", error.violations[0].problem)
    else:
        raise AssertionError("a token of 37 days was made")
