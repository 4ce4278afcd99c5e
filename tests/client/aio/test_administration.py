"""Roles, and projects that are stopped and deleted, by the methods of both clients."""

from __future__ import annotations

import pytest

from tests.client.conftest import Client, collected, done, new_session, reasons_of
from tokenauthority.client import DeletedProject, FailedPrecondition, NotFound
from tokenauthority.v1 import project_pb2


async def test_a_role_is_created_read_changed_and_deleted(client: Client) -> None:
    """What is None stays as it was."""
    made = await done(client.create_role("camera", ["publish"], description="films"))
    read = await done(client.get_role("camera"))
    changed = await done(client.update_role("camera", permissions=["publish", "signal"]))
    silent = await done(client.update_role("camera", description=""))
    names = [role.name for role in await collected(client.list_roles())]
    await done(client.delete_role("camera"))

    assert made == read
    assert (("publish",), "films", False) == (made.permissions, made.description, made.built_in)
    assert (("publish", "signal"), "films") == (changed.permissions, changed.description)
    assert (("publish", "signal"), "") == (silent.permissions, silent.description)
    assert ["subscriber", "publisher", "publisheronly", "moderator", "camera"] == names
    with pytest.raises(NotFound):
        await done(client.get_role("camera"))


async def test_a_change_of_nothing_and_an_unknown_permission_are_not_sent(client: Client) -> None:
    """The error names what to give."""
    with pytest.raises(ValueError, match="give permissions or description"):
        await done(client.update_role("camera"))
    with pytest.raises(ValueError, match="permissions must be one of subscribe, publish"):
        await done(client.create_role("camera", ["fly"]))


async def test_a_project_is_disabled_and_enabled(client: Client) -> None:
    """Its tokens are invalid meanwhile."""
    session = await new_session(client)
    token = await done(session.generate_token())
    await done(client.disable_project(session.project_id))
    disabled = await reasons_of(client, token)
    with pytest.raises(FailedPrecondition):
        await new_session(client)
    await done(client.enable_project(session.project_id))

    assert ["PROJECT_DISABLED"] == disabled
    assert (await done(client.verify_token(token))).active


async def test_a_deletion_says_how_much_it_takes(client: Client) -> None:
    """To count deletes nothing."""
    made = await done(client.projects.CreateProject(project_pb2.CreateProjectRequest()))
    project_id = made.project.project_id

    counted = await done(client.delete_project(project_id, validate_only=True))
    deleted = await done(client.delete_project(project_id))

    assert DeletedProject(sessions=0, secrets=1, roles=0, revocations=0) == counted == deleted
    with pytest.raises(NotFound):
        await done(client.delete_project(project_id))
