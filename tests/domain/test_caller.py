"""Grants: what a caller may do, and which project it means."""

from __future__ import annotations

from typing import Any

import pytest

from tokenauthority.domain.caller import ANY, Grant, Rate
from tokenauthority.domain.errors import InvalidRequestError, PermissionDeniedError, Reason
from tokenauthority.domain.token_format import TokenFormat


APPLICATION = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"


def make_grant(*projects: str, **values: Any) -> Grant:
    """A grant of *projects*."""
    return Grant(projects=frozenset(projects), actions=frozenset(), **values)


def test_leaving_something_out_grants_nothing() -> None:
    """Empty projects and roles allow none; formats are all allowed unless the grant names some."""
    grant = make_grant()

    assert not grant.allows_project("1")
    assert not grant.allows_role("publisher")
    assert all(grant.allows_format(token_format) for token_format in TokenFormat)


def test_a_star_grants_everything_of_its_kind() -> None:
    """`*` names every project, role and format."""
    grant = make_grant(ANY, roles=frozenset({ANY}), formats=frozenset({ANY}))

    assert grant.allows_project("1")
    assert grant.allows_role("host")
    assert grant.allows_format(TokenFormat.OPENTOK_T1)


def test_names_grant_just_those() -> None:
    """What a grant names is compared whole."""
    grant = make_grant("12", roles=frozenset({"host"}), formats=frozenset({TokenFormat.OPENTOK_T1}))

    assert [True, False, False] == [grant.allows_project(name) for name in ("12", "1", "123")]
    assert [True, False, False] == [grant.allows_role(name) for name in ("host", "hos", "hosts")]
    assert [TokenFormat.OPENTOK_T1] == [kind for kind in TokenFormat if grant.allows_format(kind)]


@pytest.mark.parametrize(
    ("count", "seconds", "text"),
    [
        (200, 1, "200/s"),
        (120, 60, "2/s"),
        (50, 60, "50/m"),
        (7, 3600, "7/h"),
        (1, 86_400, "1/d"),
        (999_999, 86_400, "999999/d"),
    ],
)
def test_a_rate_is_shown_as_a_callers_file_has_it(count: int, seconds: int, text: str) -> None:
    """Whole, in the first unit in which it is."""
    assert text == str(Rate(count / seconds, 1))


def test_the_only_project_is_the_default() -> None:
    """A caller with one project need not name it."""
    assert "12" == make_grant("12").chosen_project("")


@pytest.mark.parametrize("projects", [(), ("1", "2"), (ANY,), (ANY, "1")], ids=repr)
def test_there_is_no_default_among_several(projects: tuple[str, ...]) -> None:
    """A caller that may use several projects, or none, has to say which."""
    with pytest.raises(InvalidRequestError) as caught:
        make_grant(*projects).chosen_project("")

    assert ["project_id"] == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize("text", ["x", "0", "1\n", "9" * 100_000])
def test_a_malformed_project_is_an_invalid_request(text: str) -> None:
    """What is no project id is not looked up, and not repeated in the error."""
    with pytest.raises(InvalidRequestError) as caught:
        make_grant(ANY).chosen_project(text)

    assert len(str(caught.value)) < 200


def test_a_project_outside_the_grant_is_denied() -> None:
    """The refusal names the grant's entry and the request's field."""
    with pytest.raises(PermissionDeniedError) as caught:
        make_grant("1").chosen_project("2")

    refusal = caught.value
    assert (Reason.PROJECT_NOT_GRANTED, "projects", "project_id") == (refusal.reason, refusal.limit, refusal.field)


@pytest.mark.parametrize(
    ("projects", "applications", "allowed"),
    [("1", "", False), ("1", APPLICATION, True), ("1", APPLICATION[::-1], False), (ANY, "", True)],
)
def test_an_application_is_granted_by_its_own_name_or_with_all_projects(
    projects: str, applications: str, *, allowed: bool
) -> None:
    """The right to a project is none to an application."""
    grant = make_grant(projects, vonage_applications=frozenset(filter(None, [applications])))

    assert allowed == grant.allows_application(APPLICATION)
