"""Exactly one good credential is a caller; everything else is refused in one and the same way, and recorded."""

from __future__ import annotations

import pytest

from tests.support.authority import RunningAuthority, StartAuthority, make_caller
from tests.support.wire import LIST_PROJECTS, Connect, Metadata, Wire, records
from tokenauthority.callers.api_keys import digest, new_api_key


KEY = new_api_key()
OTHER = new_api_key()
MESSAGE = (
    "no valid credential: the API key, JWT or client certificate is missing, unknown or expired. Check "
    "TOKENAUTHORITY_API_KEY, TOKENAUTHORITY_API_KEY_FILE, TOKENAUTHORITY_TOKEN_FILE or TOKENAUTHORITY_CLIENT_CERT_FILE "
    "of the client, or the argument in its place; without our client libraries, send `authorization: Bearer <API key "
    "or JWT>`"
)

ODD: dict[str, Metadata] = {
    "missing": [],
    "empty": [("authorization", "")],
    "scheme alone": [("authorization", "Bearer")],
    "no key": [("authorization", "Bearer ")],
    "no scheme": [("authorization", KEY)],
    "other scheme": [("authorization", f"Basic {KEY}")],
    "no space": [("authorization", f"Bearer{KEY}")],
    "two spaces": [("authorization", f"Bearer  {KEY}")],
    "list": [("authorization", f"Bearer {KEY},Bearer {OTHER}")],
    "twice": [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")],
    "two callers": [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {OTHER}")],
    "good and empty": [("authorization", f"Bearer {KEY}"), ("authorization", "")],
    "unknown key": [("authorization", f"Bearer {new_api_key()}")],
    "cut key": [("authorization", f"Bearer {KEY[:-1]}")],
    "longer key": [("authorization", f"Bearer {KEY}A")],
    "other case": [("authorization", f"Bearer {KEY.swapcase()}")],
    "digest": [("authorization", f"Bearer {digest(KEY)}")],
    "binary header": [("authorization-bin", f"Bearer {KEY}".encode())],
    "other header": [("proxy-authorization", f"Bearer {KEY}")],
}


@pytest.fixture
def two_callers(start_authority: StartAuthority) -> RunningAuthority:
    """An authority that knows two keys."""
    return start_authority(callers={KEY: make_caller("one"), OTHER: make_caller("two")})


def test_knows_a_caller_by_its_key(two_callers: RunningAuthority, connect: Connect) -> None:
    """The scheme has no case (RFC 9110), and the record names whom the key belongs to."""
    wire = connect(two_callers)
    for scheme in ("Bearer", "bearer", "BEARER"):
        outcome = wire.call(LIST_PROJECTS, api_key="", metadata=[("authorization", f"{scheme} {OTHER}")])
        record = records(two_callers.audit_path)[-1]

        assert ("OK", "two", "api_key") == (outcome.code, record["caller"], record["caller_kind"])


def test_refuses_every_other_credential_alike(two_callers: RunningAuthority, connect: Connect) -> None:
    """The answer is no oracle: the same code, text and reason for every cause. The record names it, and no caller."""
    wire = connect(two_callers)
    outcomes = {cause: wire.call(LIST_PROJECTS, api_key="", metadata=metadata) for cause, metadata in ODD.items()}

    assert dict.fromkeys(ODD, ("UNAUTHENTICATED", MESSAGE, "CREDENTIAL_INVALID", ["ErrorInfo"])) == {
        cause: (outcome.code, outcome.message, outcome.reason, outcome.detail_names)
        for cause, outcome in outcomes.items()
    }
    assert [("UNAUTHENTICATED", "CREDENTIAL_INVALID", False, False)] * len(ODD) == [
        (record["code"], record["reason"], "caller" in record, "action" in record)
        for record in records(two_callers.audit_path)
    ]
    problems = dict(zip(ODD, (record["credential_problem"] for record in records(two_callers.audit_path)), strict=True))
    unknown = ODD["unknown key"][0][1]
    assert isinstance(unknown, str)
    assert {
        "missing": "there are 0 values of authorization, and must be one",
        "two callers": "there are 2 values of authorization, and must be one",
        "other scheme": "authorization does not begin with Bearer and one space",
        "cut key": "the bearer credential is neither an API key nor a JWT",
        "unknown key": f"no caller has the API key sha256:{digest(unknown.removeprefix('Bearer '))[:16]}",
    }.items() <= problems.items()
    assert [] == [problem for problem in problems.values() if "tak_" in str(problem)]


def test_looks_at_the_caller_before_it_parses_anything(wire: Wire) -> None:
    """Malformed bytes of a stranger are a stranger's call, not a malformed one."""
    outcome = wire.call(LIST_PROJECTS, b"\xff\xff", api_key="")

    assert "UNAUTHENTICATED" == outcome.code
