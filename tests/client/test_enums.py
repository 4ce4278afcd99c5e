"""The contract's enums have short names."""

from __future__ import annotations

import pytest

from tokenauthority.client import requests
from tokenauthority.client.enums import choices, to_text, to_value
from tokenauthority.v1 import role_pb2, session_pb2, token_pb2


ENUMS = [
    session_pb2.MediaMode,
    session_pb2.ArchiveMode,
    session_pb2.SessionState,
    token_pb2.TokenFormat,
    role_pb2.Permission,
]


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.DESCRIPTOR.name)
def test_every_value_of_an_enum_has_a_short_name(enum: type[session_pb2.MediaMode]) -> None:
    """In either case, and back; UNSPECIFIED is the empty text."""
    names = choices(enum)

    assert len(enum.values()) - 1 == len(names)
    assert names == [to_text(enum.DESCRIPTOR, to_value(enum, "field", name.upper())) for name in names]
    assert "" == to_text(enum.DESCRIPTOR, to_value(enum, "field", ""))


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    """The message is all that one needs."""
    with pytest.raises(ValueError, match="media_mode must be one of relayed, routed"):
        requests.create_session_request("", media_mode="p2p")


def test_a_value_of_a_newer_contract_is_its_number() -> None:
    """An older client does not fail on it."""
    assert "99" == to_text(session_pb2.MediaMode.DESCRIPTOR, 99)
