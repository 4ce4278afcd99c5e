"""Create, import, list, show and change projects, and change their secrets: `tokenauthority projects`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, ParamSpec, TypeVar, cast

import click

from google.protobuf.field_mask_pb2 import FieldMask

from tokenauthority.cli.calls import authority, limit_option, show_message, show_pages
from tokenauthority.cli.confirmation import confirm, yes_option
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import print_text, record, show_record
from tokenauthority.cli.values import FORMATS, LIFETIME, SERVERS, read_text
from tokenauthority.client import Authority
from tokenauthority.client.conversions import duration, to_value
from tokenauthority.domain.counts import counted
from tokenauthority.v1 import project_pb2, token_pb2


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_OPTIONS: Final = (
    click.option("--display-name", metavar="TEXT", help="A name for people."),
    click.option("--default-format", type=FORMATS, help="Format of a token whose request names none."),
    click.option(
        "--default-ttl",
        type=LIFETIME,
        metavar="TIME",
        help="Lifetime of a token whose request names none; at first 24h.",
    ),
    click.option("--max-ttl", type=LIFETIME, metavar="TIME", help="Longest lifetime of a token; at first 30d."),
    click.option(
        "--claims-for",
        type=SERVERS,
        metavar="SERVERS",
        help="Write claims for these servers into session_jwt: centrifugo, mediamtx or both; '' for none.",
    ),
)
_external_sessions_option: Final = click.option(
    "--external-sessions/--no-external-sessions",
    default=None,
    help="Whether to accept session ids that the OpenTok platform created; an imported project accepts them at first.",
)
_platform_url_option: Final = click.option(
    "--platform-url",
    metavar="URL",
    help="Have new sessions created by the platform at URL, one of platform.urls of the server; '' by the authority.",
)
_SHOWN_ONCE: Final = "Store the secret now: it is shown only once. Whoever has it can make the project's tokens."


def _project_options(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(cls=Group)
def projects() -> None:
    """Create, import, show and change projects: the tenants of the authority."""


@projects.command("create")
@click.option("--project-id", default="", metavar="ID", help="1 to 2147483647; default: the authority picks one.")
@click.option("--external-sessions", is_flag=True, help="Accept session ids that the OpenTok platform created.")
@_project_options
def create_project(project_id: str, **values: object) -> None:
    """Create a project with a new secret, which is shown only once."""
    request = project_pb2.CreateProjectRequest(project_id=project_id)
    set_fields(request, values)
    with authority() as client:
        answer = record(client.projects.CreateProject(request))
    if current().as_json:
        show_record(answer, as_json=True)
        return
    for part in answer.values():
        if isinstance(part, dict):
            show_record(part, as_json=False)
    print_text(_SHOWN_ONCE, err=True)


@projects.group("import")
def import_() -> None:
    """Import a project of the OpenTok platform, an application of Vonage Video, or a key of LiveKit or Jitsi."""


@import_.command("opentok")
@click.option("--api-key", required=True, metavar="N", help="API key of the OpenTok project; becomes the project id.")
@click.option(
    "--secret-file", required=True, metavar="FILE", help="File with the project's secret; - is standard input."
)
@_external_sessions_option
@_platform_url_option
@_project_options
def import_opentok(api_key: str, secret_file: str, **values: object) -> None:
    """Import an OpenTok project. Here --api-key is the project's; that of the authority goes before `projects`."""
    credential = project_pb2.OpenTokCredential(api_key=api_key, api_secret=read_text(secret_file, "secret"))
    _import_project(project_pb2.ImportProjectRequest(opentok=credential), values)


@import_.command("vonage")
@click.option("--application-id", required=True, metavar="UUID", help="Id of the Vonage application.")
@click.option(
    "--key-file", required=True, metavar="FILE", help="File with its private key in PEM; - is standard input."
)
@click.option("--project-id", default="", metavar="ID", help="1 to 2147483647; default: the authority picks one.")
@_external_sessions_option
@_platform_url_option
@_project_options
def import_vonage(application_id: str, key_file: str, project_id: str, **values: object) -> None:
    """Import a Vonage Video application."""
    private_key = read_text(key_file, "private key")
    credential = project_pb2.VonageCredential(application_id=application_id, private_key=private_key)
    _import_project(project_pb2.ImportProjectRequest(vonage=credential, project_id=project_id), values)


@import_.command("livekit")
@click.option("--api-key", required=True, metavar="NAME", help="API key of LiveKit; becomes the id of the secret.")
@click.option("--secret-file", required=True, metavar="FILE", help="File with its secret; - is standard input.")
@click.option("--project-id", default="", metavar="ID", help="1 to 2147483647; default: the authority picks one.")
@_project_options
def import_livekit(api_key: str, secret_file: str, project_id: str, **values: object) -> None:
    """Create a project with an API key that a LiveKit has. The API key of the authority goes before `projects`."""
    credential = project_pb2.LiveKitCredential(api_key=api_key, api_secret=read_text(secret_file, "secret"))
    _import_project(project_pb2.ImportProjectRequest(livekit=credential, project_id=project_id), values)


@import_.command("jitsi")
@click.option("--app-id", required=True, metavar="NAME", help="App id of Jitsi; becomes the id of the secret.")
@click.option("--secret-file", required=True, metavar="FILE", help="File with its secret; - is standard input.")
@click.option("--project-id", default="", metavar="ID", help="1 to 2147483647; default: the authority picks one.")
@_project_options
def import_jitsi(app_id: str, secret_file: str, project_id: str, **values: object) -> None:
    """Create a project with an app id that a Jitsi has."""
    credential = project_pb2.JitsiCredential(app_id=app_id, app_secret=read_text(secret_file, "secret"))
    _import_project(project_pb2.ImportProjectRequest(jitsi=credential, project_id=project_id), values)


@projects.command("list")
@limit_option
def list_projects(limit: int) -> None:
    """List the projects that the caller may use."""
    columns = ("project_id", "display_name", "default_format", "default_ttl", "max_ttl", "create_time")
    with authority() as client:
        request = project_pb2.ListProjectsRequest()
        show_pages(client.projects.ListProjects, request, lambda page: page.projects, limit, columns)


@projects.command("show")
@click.argument("project_id", default="")
def show_project(project_id: str) -> None:
    """Show one project: PROJECT_ID, else that of --project, else the only project of the caller."""
    with authority() as client:
        request = project_pb2.GetProjectRequest(project_id=project_id or client.project_id)
        show_message(client.projects.GetProject(request).project)


@projects.command("update")
@click.argument("project_id", default="")
@_project_options
@_external_sessions_option
@_platform_url_option
def update_project(project_id: str, **changes: object) -> None:
    """Change the fields of one project that the options name; the other fields stay unchanged."""
    paths = [name for name, value in changes.items() if value is not None]
    if not paths:
        raise click.UsageError("nothing to change: give at least one option")
    with authority() as client:
        project = project_pb2.Project(project_id=project_id or client.project_id)
        set_fields(project, changes)
        request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=paths))
        show_message(client.projects.UpdateProject(request).project)


@projects.command("disable")
@click.argument("project_id")
def disable_project(project_id: str) -> None:
    """Give one project no new sessions and tokens, and refuse its tokens, until `projects enable`.

    Programs that verify tokens without the authority, such as media servers, still accept the project's tokens.
    """
    _set_disabled(project_id, disabled=True)


@projects.command("enable")
@click.argument("project_id")
def enable_project(project_id: str) -> None:
    """Enable a project that is disabled: its tokens that have not expired are valid again."""
    _set_disabled(project_id, disabled=False)


@projects.command("delete")
@click.argument("project_id")
@yes_option
def delete_project(project_id: str, *, yes: bool) -> None:
    """Delete a project for good, with its sessions, secrets, roles and revocations; its tokens become invalid.

    The command says first how many there are, and asks for confirmation.
    """
    request = project_pb2.DeleteProjectRequest(project_id=project_id)
    with authority() as client:
        if not yes:
            confirm(f"Project {project_id} has {contents_of(client, project_id)}. Delete all of it for good?")
        show_message(client.projects.DeleteProject(request))


@projects.command("rotate-secret")
@click.argument("project_id", default="")
@click.option(
    "--secret-file",
    metavar="FILE",
    help="File with a secret that another program made; - is standard input. Default: the authority makes one.",
)
@click.option("--secret-id", default="", metavar="NAME", help="API key of LiveKit or app id of Jitsi of that secret.")
@click.option("--key-file", metavar="FILE", help="File with the private key of a Vonage application; - for input.")
def rotate_secret(project_id: str, secret_file: str | None, secret_id: str, key_file: str | None) -> None:
    """Give a project a second active secret, which signs from now on; a new one is shown only once.

    The first secret still verifies until it is retired. With --secret-id of an active secret, or with --key-file, the
    new one replaces the old one at once: so a wrong import is corrected.
    """
    secret = "" if secret_file is None else read_text(secret_file, "secret")
    private_key = "" if key_file is None else read_text(key_file, "private key")
    with authority() as client:
        request = project_pb2.RotateProjectSecretRequest(
            project_id=project_id or client.project_id, secret=secret, secret_id=secret_id, private_key=private_key
        )
        show_message(client.projects.RotateProjectSecret(request).secret)
    if not (secret or private_key or current().as_json):
        print_text(_SHOWN_ONCE, err=True)


@projects.command("retire-secret")
@click.argument("ids", nargs=-1, required=True, metavar="[PROJECT_ID] SECRET_ID")
@yes_option
def retire_secret(ids: tuple[str, ...], *, yes: bool) -> None:
    """Retire one of the two active secrets of a project; the secret's tokens become invalid.

    The project is PROJECT_ID, else that of --project, else the only project of the caller.
    """
    *project, secret_id = ids
    if len(project) > 1:
        raise click.UsageError("give a project id and a secret id")
    if not yes:
        confirm(f"Every token that {secret_id} has signed will be refused. Retire it?")
    with authority() as client:
        project_id = next(iter(project), client.project_id)
        request = project_pb2.RetireProjectSecretRequest(project_id=project_id, secret_id=secret_id)
        show_message(client.projects.RetireProjectSecret(request).project)


def contents_of(client: Authority, project_id: str) -> str:
    """Return what is deleted with a project, such as `2 sessions, 1 secret, 0 roles, 0 revocations`."""
    counting = project_pb2.DeleteProjectRequest(project_id=project_id, validate_only=True)
    counts = cast("dict[str, int]", record(client.projects.DeleteProject(counting)))
    return ", ".join(counted(count, name.removesuffix("s")) for name, count in counts.items())


def set_fields(
    message: project_pb2.CreateProjectRequest | project_pb2.ImportProjectRequest | project_pb2.Project,
    values: Mapping[str, object],
) -> None:
    """Set the fields of *message* whose values are given, which are those that are not None."""
    for name, value in values.items():
        match value:
            case None:
                pass
            case timedelta():
                getattr(message, name).CopyFrom(duration(name, value))
            case str() if name == "default_format":
                message.default_format = to_value(token_pb2.TokenFormat, name, value)
            case tuple():
                message.claims_for.extend(to_value(project_pb2.RealTimeServer, name, each) for each in value)
            case _:
                setattr(message, name, value)


def _set_disabled(project_id: str, *, disabled: bool) -> None:
    with authority() as client:
        project = project_pb2.Project(project_id=project_id or client.project_id, disabled=disabled)
        request = project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=["disabled"]))
        show_message(client.projects.UpdateProject(request).project)


def _import_project(request: project_pb2.ImportProjectRequest, values: Mapping[str, object]) -> None:
    set_fields(request, values)
    with authority() as client:
        show_message(client.projects.ImportProject(request).project)
