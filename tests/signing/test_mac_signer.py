"""A signer under HS256 makes what PyJWT reads, also where what its tokens begin with was prepared before."""

from __future__ import annotations

import json

import jwt

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.signing.mac_signer import MacSigner


SECRET = "0123456789abcdef0123456789abcdef01234567"
HEADER = {"alg": "HS256", "typ": "JWT", "kid": "sec_1"}


@given(data=st.text(max_size=50), cuts=st.lists(st.integers(0, 80), max_size=4))
def test_a_payload_in_parts_makes_the_same_token(data: str, cuts: list[int]) -> None:
    """Wherever it is cut, and however often."""
    payload = json.dumps({"connection_data": data}).encode()
    signer, done = MacSigner.under(SECRET, HEADER), 0
    for cut in sorted(cuts):
        signer, done = signer.with_prefix(payload[done:cut]), max(done, min(cut, len(payload)))

    token, signature = signer.sign(payload[done:])

    assert (token, signature) == MacSigner.under(SECRET, HEADER).sign(payload)
    decoded = jwt.decode_complete(token, SECRET, ["HS256"])
    assert ({"connection_data": data}, HEADER, signature) == (
        decoded["payload"],
        decoded["header"],
        decoded["signature"],
    )
