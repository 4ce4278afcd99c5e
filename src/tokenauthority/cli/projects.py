"""`tokenauthority projects`: make, import, list, show and change projects, and change their secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, ParamSpec, TypedDict, TypeVar

import click

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from tokenauthority.cli.calls import authority, limit_option, read_list
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import record, show_list, show_record
from tokenauthority.cli.values import FORMATS, LIFETIME, read_text
from tokenauthority.client.enums import to_value
from tokenauthority.client.times import duration
from tokenauthority.v1 import project_pb2, token_pb2


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_OPTIONS: Final = (
    click.option("--display-name", default="", metavar="TEXT", help="For a person."),
    click.option("--default-format", type=FORMATS, help="Of a token whose request names none."),
    click.option("--default-ttl", type=LIFETIME, metavar="TIME", help="Likewise its lifetime; default: 24h."),
    click.option("--max-ttl", type=LIFETIME, metavar="TIME", help="The longest lifetime; default: 30d."),
)


_KEEP: Final = "Keep the secret: it is shown this once. Whoever has it can make the project's tokens."


class Options(TypedDict):
    """What the three ways to a project have in common."""

    display_name: str
    default_format: str | None
    default_ttl: timedelta | None
    max_ttl: timedelta | None


def common_options(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Give *command* the options above."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


external_sessions_option = click.option(
    "--external-sessions/--no-external-sessions",
    default=None,
    help="Whether session ids that the platform made are accepted; default: yes.",
)


@click.group(cls=Group)
def projects() -> None:
    """Make, import, show and change projects: the tenants of the authority."""


@projects.command()
@click.option("--project-id", default="", metavar="ID", help="1 to 2147483647; default: one is picked.")
@click.option("--external-sessions", is_flag=True, help="Accept session ids that the platform made.")
@common_options
def create(project_id: str, *, external_sessions: bool, **options: Unpack[Options]) -> None:
    """Make a project with a new secret, which is shown this once."""
    request = project_pb2.CreateProjectRequest(
        project_id=project_id,
        display_name=options["display_name"],
        default_format=_format(options),
        default_ttl=_duration("default_ttl", options["default_ttl"]),
        max_ttl=_duration("max_ttl", options["max_ttl"]),
        external_sessions=external_sessions,
    )
    with authority() as client:
        answer = record(client.projects.CreateProject(request))
    if current().as_json:
        show_record(answer, as_json=True)
        return
    for part in answer.values():
        if isinstance(part, dict):
            show_record(part, as_json=False)
    click.echo(_KEEP, err=True)


@projects.group("import")
def import_() -> None:
    """Take over a project of the OpenTok platform or an application of Vonage Video."""


@import_.command()
@click.option("--api-key", required=True, metavar="N", help="Of the OpenTok project; becomes the project id.")
@click.option("--secret-file", required=True, metavar="FILE", help="Holds its secret; - is standard input.")
@external_sessions_option
@common_options
def opentok(api_key: str, secret_file: str, *, external_sessions: bool | None, **options: Unpack[Options]) -> None:
    """Import an OpenTok project. Here --api-key is the project's; the authority's goes before `projects`."""
    credential = project_pb2.OpenTokCredential(api_key=api_key, api_secret=read_text(secret_file, "secret"))
    request = _import_request(options, external_sessions=external_sessions)
    request.opentok.CopyFrom(credential)
    _import(request)


@import_.command()
@click.option("--application-id", required=True, metavar="UUID", help="Of the Vonage application.")
@click.option("--key-file", required=True, metavar="FILE", help="Its private key in PEM; - is standard input.")
@click.option("--project-id", default="", metavar="ID", help="1 to 2147483647; default: one is picked.")
@external_sessions_option
@common_options
def vonage(
    application_id: str,
    key_file: str,
    project_id: str,
    *,
    external_sessions: bool | None,
    **options: Unpack[Options],
) -> None:
    """Import a Vonage Video application."""
    credential = project_pb2.VonageCredential(
        application_id=application_id, private_key=read_text(key_file, "private key")
    )
    request = _import_request(options, external_sessions=external_sessions)
    request.vonage.CopyFrom(credential)
    request.project_id = project_id
    _import(request)


@projects.command("list")
@limit_option
def list_(limit: int) -> None:
    """List the projects that the API key may see."""
    with authority() as client:
        records = read_list(
            lambda size, token: client.projects.ListProjects(
                project_pb2.ListProjectsRequest(page_size=size, page_token=token)
            ),
            lambda page: page.projects,
            limit,
        )
    columns = ("project_id", "display_name", "default_format", "default_ttl", "max_ttl", "create_time")
    show_list(records, columns, as_json=current().as_json)


@projects.command()
@click.argument("project_id", default="")
def show(project_id: str) -> None:
    """Show one project: PROJECT_ID, else that of --project, else the only one of the API key."""
    with authority() as client:
        wanted = project_id or client.project_id
        answer = client.projects.GetProject(project_pb2.GetProjectRequest(project_id=wanted))
    show_record(record(answer.project), as_json=current().as_json)


@projects.command()
@click.argument("project_id", default="")
@click.option("--display-name", metavar="TEXT", help="For a person.")
@click.option("--default-format", type=FORMATS, help="Of a token whose request names none.")
@click.option("--default-ttl", type=LIFETIME, metavar="TIME", help="Likewise its lifetime.")
@click.option("--max-ttl", type=LIFETIME, metavar="TIME", help="The longest lifetime.")
@click.option(
    "--external-sessions/--no-external-sessions", default=None, help="Accept session ids that the platform made?"
)
def update(project_id: str, **changes: object) -> None:
    """Change what the options name of one project; the rest stays."""
    paths = [name for name, value in changes.items() if value is not None]
    if not paths:
        raise click.UsageError("nothing to change: give at least one option")
    with authority() as client:
        project = project_pb2.Project(project_id=project_id or client.project_id)
        for name in paths:
            _set(project, name, changes[name])
        answer = client.projects.UpdateProject(
            project_pb2.UpdateProjectRequest(project=project, update_mask=FieldMask(paths=paths))
        )
    show_record(record(answer.project), as_json=current().as_json)


@projects.command("rotate-secret")
@click.argument("project_id", default="")
def rotate_secret(project_id: str) -> None:
    """Give a project its second live secret, which is shown this once and signs from now on.

    The old one verifies until it is retired.
    """
    with authority() as client:
        answer = client.projects.RotateProjectSecret(
            project_pb2.RotateProjectSecretRequest(project_id=project_id or client.project_id)
        )
    show_record(record(answer.secret), as_json=current().as_json)
    if not current().as_json:
        click.echo(_KEEP, err=True)


@projects.command("retire-secret")
@click.argument("secret_id")
def retire_secret(secret_id: str) -> None:
    """Retire one of the two live secrets of the project that --project names; its tokens are no longer good."""
    with authority() as client:
        answer = client.projects.RetireProjectSecret(
            project_pb2.RetireProjectSecretRequest(project_id=client.project_id, secret_id=secret_id)
        )
    show_record(record(answer.project), as_json=current().as_json)


def _set(project: project_pb2.Project, name: str, value: object) -> None:
    match value:
        case timedelta():
            getattr(project, name).CopyFrom(duration(name, value))
        case str() if name == "default_format":
            project.default_format = to_value(token_pb2.TokenFormat, name, value)
        case _:
            setattr(project, name, value)


def _import_request(options: Options, *, external_sessions: bool | None) -> project_pb2.ImportProjectRequest:
    return project_pb2.ImportProjectRequest(
        display_name=options["display_name"],
        default_format=_format(options),
        default_ttl=_duration("default_ttl", options["default_ttl"]),
        max_ttl=_duration("max_ttl", options["max_ttl"]),
        external_sessions=external_sessions,
    )


def _import(request: project_pb2.ImportProjectRequest) -> None:
    with authority() as client:
        answer = client.projects.ImportProject(request)
    show_record(record(answer.project), as_json=current().as_json)


def _format(options: Options) -> token_pb2.TokenFormat.ValueType:
    return to_value(token_pb2.TokenFormat, "default_format", options["default_format"] or "")


def _duration(field: str, lifetime: timedelta | None) -> Duration | None:
    return None if lifetime is None else duration(field, lifetime)
