"""Wycheproof's files, read from where TOKENAUTHORITY_SHARED says; a test of a file that is not there is skipped."""

from __future__ import annotations

import json
import os

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest


SHARED = Path(os.environ.get("TOKENAUTHORITY_SHARED", Path(__file__).parents[3] / "shared"))
SIGNATURES = "json_web_signature_test.json"
KEYS = "json_web_key_test.json"


@attrs.frozen
class Case:
    """One test: what is signed, its verdict, and the JWKS of what it is to be verified with."""

    number: int
    jwks: Mapping[str, Any] = attrs.field(repr=False)
    jws: object = attrs.field(repr=False)
    valid: bool
    comment: str

    @property
    def text(self) -> str:
        """The token as it would come; a JWS in JSON serialisation is its text."""
        return self.jws if isinstance(self.jws, str) else json.dumps(self.jws)

    @property
    def symmetric(self) -> bool:
        """Whether a key of it is a shared one."""
        return any(key["kty"] == "oct" for key in self.jwks["keys"])


def cases(name: str) -> list[Case]:
    """The tests of a file, in its order; none if it is not there."""
    path = SHARED / "vectors" / "wycheproof" / name
    if not path.is_file():
        return []
    # A group without a public half has shared keys. A group has one key or a JWKS.
    groups = [
        (group.get("public", group.get("private")), group["tests"])
        for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]
    ]
    return [
        Case(
            test["tcId"],
            keys if "keys" in keys else {"keys": [keys]},
            test["jws"],
            test["result"] == "valid",
            test["comment"],
        )
        for keys, tests in groups
        for test in tests
    ]


def parameters(found: list[Case], name: str) -> list[Any]:
    """*found* as pytest's parameters; one that is skipped if there is none."""
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason=absent(name)))]
    return [pytest.param(case, id=f"{case.number}-{case.comment}") for case in found]


def absent(name: str) -> str:
    """Why a test is skipped."""
    return f"{name} of Wycheproof is not there (TOKENAUTHORITY_SHARED names the directory above `vectors`)"
