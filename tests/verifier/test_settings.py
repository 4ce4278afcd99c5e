"""Which options a verifier refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tokenauthority.client.connection import Connection
from tokenauthority.verifier import Verifier


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "project_ids must name 1 to 1000 projects"),
    ({"project_ids": "47"}, "project_ids is a list"),
    ({"project_ids": ["x"]}, "project_ids must name"),
    ({"project_ids": [str(number) for number in range(1, 1002)]}, "project_ids must name 1 to 1000"),
    ({"project_ids": ["1"], "leeway": 301}, "leeway must be a whole number of seconds from 0 to 300"),
    ({"project_ids": ["1"], "leeway": -1}, "leeway must be"),
    ({"project_ids": ["1"], "max_staleness": 0}, "max_staleness must be a number of seconds, more than 0"),
    ({"project_ids": ["1"], "max_staleness": float("inf")}, "max_staleness must be"),
    ({"project_ids": ["1"], "max_silence": float("nan")}, "max_silence must be"),
    ({"project_ids": ["1"], "sync_timeout": -1}, "sync_timeout must be"),
    ({"project_ids": ["1"], "max_revocations": 0}, "max_revocations must be a whole number, at least 1"),
    # As they come from a program's own configuration.
    ({"project_ids": [47000000]}, "each a number in a string"),
    ({"project_ids": ["1"], "issuer": None}, "issuer must be"),
    ({"project_ids": ["1"], "leeway": "30"}, "leeway must be a whole"),
    ({"project_ids": ["1"], "leeway": None}, "leeway must be a"),
    ({"project_ids": ["1"], "max_staleness": "30"}, "max_staleness must be a"),
    ({"project_ids": ["1"], "max_silence": None}, "max_silence must be a"),
    ({"project_ids": ["1"], "sync_timeout": True}, "sync_timeout must be a"),
    ({"project_ids": ["1"], "max_revocations": "5"}, "max_revocations must be a"),
]


@pytest.mark.parametrize(("options", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_refuses_options_that_cannot_be_meant(options: dict[str, Any], problem: str) -> None:
    """Before anything is opened, by their names."""
    with pytest.raises(ValueError, match=problem):
        Verifier(Connection(address="127.0.0.1:1", api_key="", plaintext=True), **options)
