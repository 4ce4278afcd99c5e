"""Servers differ in the settings that both have, and in no others."""

from __future__ import annotations

from tokenauthority.domain.server_record import ServerRecord, differences
from tokenauthority.domain.times import Millis


def record(**settings: str) -> ServerRecord:
    """Another server."""
    return ServerRecord("other", Millis(0), settings)


def test_names_what_differs_with_the_other_value() -> None:
    """A setting that a newer or older version does not have is none."""
    own = {"issuer": "a", "algorithm": "ES256", "new": "1"}
    others = [record(issuer="a", algorithm="EdDSA", old="1"), record(issuer="b"), record()]

    assert {"algorithm": "EdDSA", "issuer": "b"} == differences(own, others)
    assert {} == differences(own, [record(**own)])
    assert {} == differences(own, [])
