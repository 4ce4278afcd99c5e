"""ProjectService: map its requests to the use cases of projects, and their results to its answers."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final, TypeAlias

import attrs

from tokenauthority.authority.project_deletion import ProjectDeletion
from tokenauthority.authority.project_secrets import ProjectSecrets
from tokenauthority.authority.project_spec import (
    GivenSecret,
    OpenTokImport,
    ProjectChanges,
    ProjectSpec,
    ServerImport,
    VonageImport,
)
from tokenauthority.authority.projects import Projects
from tokenauthority.domain.errors import FieldViolation, InvalidRequestError
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.service import mapping, paging
from tokenauthority.service.problems import Problems
from tokenauthority.service.rpc import Rpc
from tokenauthority.v1 import project_pb2 as pb
from tokenauthority.v1 import token_pb2


_MAX_CHANGE: Final = 200
"""Characters of a change that are recorded; a value may yet be refused for its length."""

_CHANGEABLE: Final = (
    *(
        "display_name",
        "default_format",
        "default_ttl",
        "max_ttl",
        "external_sessions",
        "platform_url",
        "claims_for",
        "disabled",
    ),
)

_NewProject: TypeAlias = "pb.CreateProjectRequest | pb.ImportProjectRequest"


class ProjectServicer:
    """The RPCs of ProjectService."""

    def __init__(self, projects: Projects, project_secrets: ProjectSecrets, deletion: ProjectDeletion) -> None:
        self._projects = projects
        self._secrets = project_secrets
        self._deletion = deletion

    async def create_project(self, request: pb.CreateProjectRequest, rpc: Rpc) -> pb.CreateProjectResponse:
        """Answer CreateProject."""
        spec = _spec(request, external=request.external_sessions)
        project, secret = await self._projects.create(spec, rpc.grant, rpc.now)
        return pb.CreateProjectResponse(
            project=mapping.project_message(project), secret=mapping.new_secret_message(secret)
        )

    async def import_project(self, request: pb.ImportProjectRequest, rpc: Rpc) -> pb.ImportProjectResponse:
        """Answer ImportProject."""
        spec = _spec(request, external=request.external_sessions if request.HasField("external_sessions") else None)
        grant, now = rpc.grant, rpc.now
        match request.WhichOneof("credential"):
            case "opentok":
                opentok = OpenTokImport(api_key=request.opentok.api_key, api_secret=request.opentok.api_secret)
                project = await self._projects.import_opentok(spec, opentok, grant, now)
            case "vonage":
                vonage = VonageImport(
                    application_id=request.vonage.application_id, private_key=request.vonage.private_key
                )
                project = await self._projects.import_vonage(spec, vonage, rpc.caller, now)
            case "livekit":
                livekit = ServerImport("livekit", request.livekit.api_key, request.livekit.api_secret)
                project = await self._projects.import_server(spec, livekit, grant, now)
            case "jitsi":
                jitsi = ServerImport("jitsi", request.jitsi.app_id, request.jitsi.app_secret)
                project = await self._projects.import_server(spec, jitsi, grant, now)
            case _:
                missing = FieldViolation("credential", "is required: opentok, vonage, livekit or jitsi")
                self._projects.refuse_import(spec, grant, now, missing)
        return pb.ImportProjectResponse(project=mapping.project_message(project))

    async def get_project(self, request: pb.GetProjectRequest, rpc: Rpc) -> pb.GetProjectResponse:
        """Answer GetProject."""
        project = await self._projects.get(rpc.chosen_project(request.project_id))
        return pb.GetProjectResponse(project=mapping.project_message(project))

    async def list_projects(self, request: pb.ListProjectsRequest, rpc: Rpc) -> pb.ListProjectsResponse:
        """Answer ListProjects."""
        problems = Problems()
        size, after = paging.requested_page(request, "projects", int, problems)
        problems.raise_if_any()
        found = await self._projects.list_page(rpc.grant, after=after or 0, limit=size + 1)
        page, next_page = paging.cut_page(found, size, "projects", lambda last: int(last.project_id))
        return pb.ListProjectsResponse(projects=map(mapping.project_message, page), next_page_token=next_page)

    async def update_project(self, request: pb.UpdateProjectRequest, rpc: Rpc) -> pb.UpdateProjectResponse:
        """Answer UpdateProject."""
        problems = Problems()
        project_id = problems.value_or(partial(rpc.chosen_project, request.project.project_id), "")
        changes = _changes(request, problems)
        rpc.record.changes = tuple(f"{field}={_shown(value)}"[:_MAX_CHANGE] for field, value in changes.items())
        if not project_id:
            problems.raise_if_any()
        project = await self._projects.update(project_id, changes, problems.found)
        return pb.UpdateProjectResponse(project=mapping.project_message(project))

    async def delete_project(self, request: pb.DeleteProjectRequest, rpc: Rpc) -> pb.DeleteProjectResponse:
        """Answer DeleteProject."""
        if not request.project_id:
            raise InvalidRequestError([FieldViolation("project_id", "is required")])
        project_id = rpc.chosen_project(request.project_id)
        if request.validate_only:
            rpc.record.changes = ("validate_only=True",)
            contents = await self._deletion.count(project_id)
        else:
            contents = await self._deletion.delete(project_id, rpc.now)
        return pb.DeleteProjectResponse(**attrs.asdict(contents))

    async def rotate_project_secret(
        self, request: pb.RotateProjectSecretRequest, rpc: Rpc
    ) -> pb.RotateProjectSecretResponse:
        """Answer RotateProjectSecret."""
        project_id = rpc.chosen_project(request.project_id)
        given = GivenSecret(secret=request.secret, secret_id=request.secret_id, private_key=request.private_key)
        made = await self._secrets.rotate(project_id, rpc.caller.name, rpc.now, given)
        is_given = request.secret or request.private_key
        message = mapping.given_secret_message(made) if is_given else mapping.new_secret_message(made)
        return pb.RotateProjectSecretResponse(secret=message)

    async def retire_project_secret(
        self, request: pb.RetireProjectSecretRequest, rpc: Rpc
    ) -> pb.RetireProjectSecretResponse:
        """Answer RetireProjectSecret."""
        project = await self._secrets.retire(rpc.chosen_project(request.project_id), request.secret_id)
        # Only now it is certain to be an id: that of an imported secret has no shape of its own.
        rpc.record.object_id = request.secret_id
        return pb.RetireProjectSecretResponse(project=mapping.project_message(project))


def _spec(request: _NewProject, *, external: bool | None) -> ProjectSpec:
    problems = Problems()
    token_format = problems.value_or(partial(mapping.token_format, request.default_format, "default_format"), None)
    return ProjectSpec(
        project_id=request.project_id,
        display_name=request.display_name,
        default_format=token_format,
        default_ttl=Seconds(request.default_ttl.seconds) if request.HasField("default_ttl") else None,
        max_ttl=Seconds(request.max_ttl.seconds) if request.HasField("max_ttl") else None,
        external_sessions=external,
        platform_url=request.platform_url if isinstance(request, pb.ImportProjectRequest) else "",
        claims_for=problems.value_or(partial(mapping.real_time_servers, request.claims_for, "claims_for"), ()),
        problems=tuple(problems.found),
    )


def _changes(request: pb.UpdateProjectRequest, problems: Problems) -> ProjectChanges:
    project, paths = request.project, set(request.update_mask.paths)
    if not paths or paths - set(_CHANGEABLE):
        problems.add("update_mask", "must name some of " + ", ".join(_CHANGEABLE))
    changes = _plain_changes(project, paths)
    if "default_format" in paths:
        token_format = problems.value_or(partial(_set_format, project.default_format), None)
        if token_format is not None:
            changes["default_format"] = token_format
    if "default_ttl" in paths:
        changes["default_ttl"] = Seconds(project.default_ttl.seconds)
    if "max_ttl" in paths:
        changes["max_ttl"] = Seconds(project.max_ttl.seconds)
    if "claims_for" in paths:
        read = partial(mapping.real_time_servers, project.claims_for, "project.claims_for")
        changes["claims_for"] = problems.value_or(read, ())
    return changes


def _plain_changes(project: pb.Project, paths: Collection[str]) -> ProjectChanges:
    """Return the changes of the fields that need no parsing."""
    changes = ProjectChanges()
    if "display_name" in paths:
        changes["display_name"] = project.display_name
    if "external_sessions" in paths:
        changes["external_sessions"] = project.external_sessions
    if "platform_url" in paths:
        changes["platform_url"] = project.platform_url
    if "disabled" in paths:
        changes["disabled"] = project.disabled
    return changes


def _set_format(value: token_pb2.TokenFormat.ValueType) -> TokenFormat:
    token_format = mapping.token_format(value, "project.default_format")
    if token_format is None:
        raise InvalidRequestError([FieldViolation("project.default_format", "must not be UNSPECIFIED")])
    return token_format


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
