"""`tokenauthority roles` against a real authority."""

from __future__ import annotations

from tests.cli.conftest import Run


def test_a_role_is_created_shown_changed_and_deleted(run: Run) -> None:
    """The commands are those of RoleService."""
    made = run("roles", "create", "camera", "--permission", "publish", "--description", "films", "--json").json
    shown = run("roles", "show", "camera", "--json").json
    changed = run("roles", "update", "camera", "--permission", "publish", "--permission", "signal", "--json").json
    renamed = run("roles", "update", "camera", "--description", "", "--json").json
    deleted = run("roles", "delete", "camera")

    assert made == shown
    assert (["publish"], "films") == (made["permissions"], made["description"])
    assert (["publish", "signal"], "films") == (changed["permissions"], changed["description"])
    assert (["publish", "signal"], "") == (renamed["permissions"], renamed["description"])
    assert (0, 1) == (deleted.exit_code, run("roles", "show", "camera").exit_code)


def test_lists_built_in_roles_first(run: Run) -> None:
    """Then those of the project."""
    run("roles", "create", "camera", "--permission", "publish")

    names = [row["name"] for row in run("roles", "list", "--json").rows]

    assert ["subscriber", "publisher", "publisheronly", "moderator", "camera"] == names


def test_a_change_of_nothing_is_refused(run: Run) -> None:
    """It names the options."""
    outcome = run("roles", "update", "camera")

    assert 2 == outcome.exit_code
    assert "give --permission or --description" in outcome.err


def test_a_misspelt_role_is_corrected(run: Run, session_id: str) -> None:
    """The error says which one may be meant, and which ones there are."""
    run("roles", "create", "camera", "--permission", "publish")

    unknown = run("tokens", "generate", "--session", session_id, "--role", "camrea")
    capital = run("tokens", "generate", "--session", session_id, "--role", "Publisher")

    assert "role camrea does not exist; there are subscriber, publisher" in unknown.err
    assert "camera; did you mean 'camera'?" in unknown.err
    assert "did you mean 'publisher'?" in capital.err
