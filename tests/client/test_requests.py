"""How options become the contract's requests, and what is refused before a call."""

from __future__ import annotations

import uuid

from datetime import datetime, timedelta

import pytest

from tokenauthority.client import Authority, RevokeOptions, TokenRequest, requests
from tokenauthority.v1 import token_pb2


def test_each_session_has_its_own_request_id() -> None:
    """A fresh UUID for each call, unless one is given."""
    ids = {requests.create_session_request("47").request_id for _ in range(10)}

    assert 10 == len(ids)
    assert all(str(uuid.UUID(text)) == text for text in ids)
    assert "mine" == requests.create_session_request("47", request_id="mine").request_id


def test_refuses_two_lifetimes() -> None:
    """They would contradict each other."""
    with pytest.raises(ValueError, match="give expire_time or ttl, not both"):
        TokenRequest("2_abc", expire_time=1, ttl=1).message()


def test_refuses_a_string_of_layout_classes() -> None:
    """A string is a sequence of strings too; "focus" would become five classes."""
    with pytest.raises(TypeError, match="must be a list of strings"):
        TokenRequest("2_abc", initial_layout_class_list="focus").message()


def test_a_lifetime_of_zero_is_sent_to_be_refused() -> None:
    """0 is not "not given"."""
    message = TokenRequest("2_abc", ttl=0).message()

    assert "ttl" == message.WhichOneof("lifetime")


def test_all_options_arrive() -> None:
    """Each in its field."""
    expected = token_pb2.TokenRequest(
        session_id="2_abc",
        role="moderator",
        data="username=bob\n",
        format=token_pb2.TOKEN_FORMAT_OPENTOK_T1,
        initial_layout_class_list=["focus", "small"],
        subject="bob",
    )
    expected.ttl.FromSeconds(3600)

    actual = TokenRequest(
        "2_abc",
        role="moderator",
        data="username=bob\n",
        ttl=timedelta(hours=1),
        format="opentok_t1",
        initial_layout_class_list=["focus", "small"],
        subject="bob",
    ).message()

    assert expected == actual


def test_a_misspelt_option_is_refused() -> None:
    """It must not be ignored: it could be the role."""
    with Authority("localhost:1", api_key="tak_x", plaintext=True) as authority:
        with pytest.raises(TypeError, match="rol"):
            authority.generate_token("2_abc", rol="subscriber")  # type: ignore[call-arg]  # the mistyped name under test
        with pytest.raises(TypeError, match="mediamode"):
            authority.create_session(mediamode="routed")  # type: ignore[call-arg]  # as above


def test_the_project_goes_only_with_what_does_not_name_it() -> None:
    """The client's, unless another one is given."""
    assert "47" == requests.revoke_tokens_request("47", token_id="a").project_id
    assert "47" == requests.revoke_tokens_request("47", subject="a").project_id
    assert "48" == requests.revoke_tokens_request("47", subject="a", project_id="48").project_id
    assert "" == requests.revoke_tokens_request("47", token="a").project_id
    assert "" == requests.revoke_tokens_request("47", session_id="a").project_id


def test_refuses_no_target_and_two() -> None:
    """Before anything is asked."""
    wanted: list[RevokeOptions] = [{}, {"token": "a", "subject": "b"}, {"session_id": "a", "subject": ""}]
    for options in wanted:
        with pytest.raises(ValueError, match="exactly one of token, token_id, session_id and subject"):
            requests.revoke_tokens_request("47", **options)
    for name in ("token", "token_id", "session_id", "subject"):
        with pytest.raises(ValueError, match=f"{name} must not be empty"):
            requests.revoke_tokens_request("47", **{name: ""})  # type: ignore[arg-type]  # each name is an option
    with pytest.raises(ValueError, match="issued_before has no time zone"):
        requests.revoke_tokens_request("47", subject="a", issued_before=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
