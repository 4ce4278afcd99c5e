"""Callers files for tests, and what the authority reads of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.file import CallersFileError, load_callers
from tokenauthority.callers.identity import Identity
from tokenauthority.callers.registry import CallerRegistry
from tokenauthority.domain.caller import Caller


KEY = new_api_key()
DIGEST = digest(KEY)
OTHER = digest(new_api_key())
VALID = {
    "name": '"room-service"',
    "api_key_sha256": f'"{DIGEST}"',
    "projects": '["47000000", "48000000"]',
    "actions": '["sessions.create", "tokens.generate"]',
    "roles": '["subscriber", "publisher"]',
    "formats": '["SESSION_JWT"]',
    "max_ttl": '"1h"',
}


def entry(**changes: str | None) -> str:
    """The TOML of a valid caller with some of its fields changed, or left out where None."""
    fields = {**VALID, **changes}
    return "[[callers]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)


ISSUER = """[[issuers]]
issuer = "https://issuer.example"
audience = "tokenauthority"
algorithms = ["RS256", "ES256"]
jwks_url = "https://issuer.example/jwks"
"""


def issuer(**changes: str | None) -> str:
    """The TOML of a valid issuer with some of its fields changed, or left out where None."""
    fields = {name: value for name, _, value in (line.partition(" = ") for line in ISSUER.splitlines()[1:])}
    given = {name: value for name, value in {**fields, **changes}.items() if value is not None}
    return "[[issuers]]\n" + "".join(f"{name} = {value}\n" for name, value in given.items())


JWT = '{ issuer = "https://issuer.example", subject = "system:serviceaccount:video:rooms" }'


def load_registry(directory: Path, text: str | bytes) -> CallerRegistry:
    """What a file with *text* says."""
    path = directory / "callers.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_callers(path, "https://tokens.example")


def load(directory: Path, text: str | bytes) -> dict[Identity, Caller]:
    """The callers of a file with *text*."""
    return {each.identity: each.caller for each in load_registry(directory, text).entries}


def problems(directory: Path, text: str | bytes) -> tuple[str, ...]:
    """What the file is refused for, each with its line."""
    with pytest.raises(CallersFileError) as caught:
        load(directory, text)
    assert str(directory / "callers.toml") in str(caught.value)
    found = tuple(map(str, caught.value.problems))
    assert all(problem in str(caught.value) for problem in found)
    return found
