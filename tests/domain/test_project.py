"""Projects: the limits of their values, and which secret is the newest."""

from __future__ import annotations

from typing import Any

import pytest

from tokenauthority.domain.credential import Credential, CredentialKind
from tokenauthority.domain.errors import NotFoundError, PreconditionError, Reason
from tokenauthority.domain.project import (
    Project,
    is_secret,
    project_violations,
    require_one_secret,
    require_other_secret,
)
from tokenauthority.domain.times import MAX_TTL, Millis, Seconds
from tokenauthority.domain.token_format import TokenFormat


NOW = Millis(1_800_000_000_123)


def make_project(**values: Any) -> Project:
    """A project, well made but for *values*."""
    good: dict[str, Any] = {
        "project_id": "1",
        "display_name": "",
        "default_format": TokenFormat.SESSION_JWT,
        "default_ttl": Seconds(3600),
        "max_ttl": MAX_TTL,
        "external_sessions": False,
        "create_time": NOW,
    }
    return Project(**{**good, **values})


def make_credential(credential_id: str, create_time: int, kind: CredentialKind = CredentialKind.SECRET) -> Credential:
    """A sealed credential."""
    return Credential(credential_id=credential_id, kind=kind, create_time=Millis(create_time), sealed=b"sealed-bytes")


@pytest.mark.parametrize(
    "values",
    [
        {"display_name": "\N{GRINNING FACE}" * 128},
        {"max_ttl": 1, "default_ttl": 1},
        {"max_ttl": MAX_TTL, "default_ttl": MAX_TTL},
    ],
    ids=repr,
)
def test_takes_what_is_at_the_limit(values: dict[str, Any]) -> None:
    """Legal projects are legal."""
    assert [] == project_violations(make_project(**values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"display_name": "x" * 129}, ["display_name"]),
        ({"display_name": "a\x00b"}, ["display_name"]),
        ({"max_ttl": 0}, ["max_ttl"]),
        ({"max_ttl": MAX_TTL + 1}, ["max_ttl"]),
        ({"default_ttl": 0}, ["default_ttl"]),
        ({"max_ttl": 60, "default_ttl": 61}, ["default_ttl"]),
        ({"max_ttl": 0, "default_ttl": 0}, ["max_ttl", "default_ttl"]),
        ({"max_ttl": MAX_TTL + 1, "default_ttl": MAX_TTL + 1}, ["max_ttl", "default_ttl"]),
        ({"display_name": "x" * 129, "max_ttl": -1}, ["display_name", "max_ttl"]),
    ],
    ids=repr,
)
def test_refuses_what_is_beyond_the_limit(values: dict[str, Any], expected: list[str]) -> None:
    """Each rule names its field."""
    assert expected == [violation.field for violation in project_violations(make_project(**values))]


def test_secrets_come_newest_first_and_without_other_credentials() -> None:
    """The first one is the one that signs."""
    old, new = make_credential("b", NOW), make_credential("a", NOW + 1)
    key = make_credential("k", NOW + 2, CredentialKind.VONAGE_KEY)

    assert (new, old) == make_project(credentials=(old, key, new)).secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a1" * 20, True),
        ("A1" * 20, True),
        ("a1" * 19 + "a", False),
        ("a1" * 20 + "a", False),
        ("g1" * 20, False),
        ("a1" * 20 + "\n", False),
        ("", False),
    ],
)
def test_a_secret_has_40_hex_characters(text: str, *, expected: bool) -> None:
    """The shape that is safe with every official SDK."""
    assert expected == is_secret(text)


def test_repr_shows_no_sealed_bytes() -> None:
    """Even sealed, a secret has no place in a log."""
    assert "sealed-bytes" not in repr(make_project(credentials=(make_credential("a", NOW),)))


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_second_secret_needs_exactly_one(count: int) -> None:
    """A Vonage key is no secret."""
    key = make_credential("vkey", 0, CredentialKind.VONAGE_KEY)
    secrets = [make_credential(f"sec_{n}", n) for n in range(count)]
    require_one_secret(make_project(credentials=(key, make_credential("sec", 0))))

    with pytest.raises(
        PreconditionError, match=f"project 1 has {count} live secrets: a rotation needs exactly one"
    ) as refused:
        require_one_secret(make_project(credentials=(key, *secrets)))

    assert Reason.SECRET_COUNT is refused.value.reason


def test_only_one_of_two_secrets_can_be_removed() -> None:
    """The last one stays, and what is no secret of the project is not found; the case of an id matters."""
    key = make_credential("vkey", 0, CredentialKind.VONAGE_KEY)
    one = make_project(credentials=(key, make_credential("a", 0)))
    require_other_secret(make_project(credentials=(make_credential("a", 0), make_credential("b", 1))), "a")

    with pytest.raises(PreconditionError) as last:
        require_other_secret(one, "a")
    for absent in ("A", "vkey", ""):
        with pytest.raises(NotFoundError) as unknown:
            require_other_secret(one, absent)
        assert Reason.SECRET_NOT_FOUND is unknown.value.reason

    assert Reason.SECRET_COUNT is last.value.reason
