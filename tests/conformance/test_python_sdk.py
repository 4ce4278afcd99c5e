"""The official Python SDK and we understand each other, whatever the options."""

from __future__ import annotations

import types

from collections.abc import Iterator
from typing import Any

import jwt
import opentok
import opentok.opentok
import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.signing.builders import (
    NOW,
    PROJECT,
    SECRET,
    hostile_text,
    layout,
    make_claims,
    make_token,
    role_names,
    verify,
)
from tokenauthority.domain.ids import make_session_id
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.registry import read_token


CLIENT = opentok.Client(PROJECT, SECRET.value)

lifetimes = st.integers(1, MAX_TTL)
nonces = st.integers(0, 999_999)
made_session_ids = st.builds(
    make_session_id,
    st.just(PROJECT),
    st.sampled_from(["", "12.34.56.78", "255.255.255.255"]),
    relayed=st.booleans(),
    now=st.integers(0, 4_102_444_800_000).map(Millis),
    random=st.binary(min_size=18, max_size=18),
)


@pytest.fixture(autouse=True, scope="module")
def frozen_sdk() -> Iterator[dict[str, int]]:
    """The SDK's clock at NOW and its nonce under the test's control."""
    drawn = {"nonce": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opentok.opentok, "time", types.SimpleNamespace(time=lambda: NOW + 0.75))
        patch.setattr(opentok.opentok, "random", types.SimpleNamespace(randint=lambda _low, _high: drawn["nonce"]))
        yield drawn


@given(
    use_jwt=st.booleans(),
    session_id=made_session_ids,
    role=role_names,
    lifetime=lifetimes,
    nonce=nonces,
    data=hostile_text,
    classes=layout,
)
def test_the_sdks_token_is_ours(  # noqa: PLR0917 - what the SDK is called with
    frozen_sdk: dict[str, int],
    use_jwt: bool,  # noqa: FBT001 - drawn by hypothesis
    session_id: str,
    role: str,
    lifetime: int,
    nonce: int,
    data: str,
    classes: tuple[str, ...],
) -> None:
    """It verifies here with what was asked for; our T1 is the same bytes, our JWT the same claims in order."""
    frozen_sdk["nonce"] = nonce
    token_format = TokenFormat.OPENTOK_JWT if use_jwt else TokenFormat.OPENTOK_T1
    expire_time = Seconds(NOW + lifetime)
    theirs: str = CLIENT.generate_token(
        session_id,
        opentok.Roles(role),
        expire_time,
        data or None,
        list(classes),
        use_jwt=use_jwt,
    )
    said = make_claims(
        token_format,
        session_id=session_id,
        role=role,
        expire_time=expire_time,
        data=data,
        initial_layout_class_list=classes,
    )

    ours = make_token(token_format, said, nonce, SECRET)

    verified = verify(theirs)
    assert verify(ours.token).claims.data == verified.claims.data == data
    assert read_token(theirs).format is token_format
    if use_jwt:
        claims = [list(_read(token).items()) for token in (theirs, ours.token)]
        assert claims[0] == claims[1]
        assert theirs.partition(".")[0] == ours.token.partition(".")[0]
    else:
        assert theirs == ours.token
        assert verified == verify(ours.token)


def test_a_token_without_options_is_read() -> None:
    """The SDK's defaults: publisher, a day."""
    session_id = make_session_id(PROJECT, "", relayed=False, now=Millis(1), random=bytes(18))

    for use_jwt in (True, False):
        claims = verify(CLIENT.generate_token(session_id, use_jwt=use_jwt)).claims

        assert ("publisher", NOW, NOW + 86_400) == (claims.role, claims.issue_time, claims.expire_time)


def _read(token: str) -> dict[str, Any]:
    """The claims of *token*, verified by PyJWT alone."""
    options: Any = {"verify_exp": False, "verify_iat": False}
    claims: dict[str, Any] = jwt.decode(token, SECRET.value, algorithms=["HS256"], options=options)
    return claims
