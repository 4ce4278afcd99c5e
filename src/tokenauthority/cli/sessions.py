"""Create, show, list and end sessions: `tokenauthority sessions`."""

from __future__ import annotations

from typing import Unpack

import click

from tokenauthority.cli.calls import authority, limit_option, show_message, show_pages
from tokenauthority.cli.options import Group, current
from tokenauthority.cli.output import print_text
from tokenauthority.cli.values import ARCHIVE_MODES, MEDIA_MODES, SESSION_STATES
from tokenauthority.client import SessionOptions, requests
from tokenauthority.v1 import session_pb2


@click.group(cls=Group)
def sessions() -> None:
    """Create, show and end sessions: the rooms that people join."""


@sessions.command("create")
@click.option("--media-mode", type=MEDIA_MODES, default="relayed", show_default=True, help="How media flows.")
@click.option(
    "--archive-mode",
    type=ARCHIVE_MODES,
    default="manual",
    show_default=True,
    help="Whether recording starts automatically.",
)
@click.option("--location", default="", metavar="IPV4", help="IP address from which the first person connects.")
@click.option("--e2ee", is_flag=True, help="Encrypt media end to end; requires routed and manual.")
@click.option("--archive-name", default="", metavar="TEXT", help="1 to 80 characters; requires always.")
@click.option("--archive-resolution", default="", metavar="WxH", help="Such as 1280x720; requires always.")
@click.option("--name", default="", metavar="NAME", help="Room on real-time servers: 1 to 64 of a-z, 0-9, - and _.")
@click.option("--request-id", metavar="UUID", help="Makes this command safe to repeat for 24 hours.")
@click.option("--quiet", "-q", is_flag=True, help="Print only the session id.")
def create_session(*, quiet: bool, **options: Unpack[SessionOptions]) -> None:
    """Create a session."""
    request = requests.create_session_request(current().project, **options)
    with authority() as client:
        session = client.sessions.CreateSession(request).session
    if quiet:
        print_text(session.session_id)
    else:
        show_message(session)


@sessions.command("list")
@click.option("--state", type=SESSION_STATES, default=None, help="Only sessions in this state.")
@limit_option
def list_sessions(state: str | None, limit: int) -> None:
    """List the project's sessions, newest first."""
    columns = ("session_id", "name", "state", "media_mode", "archive_mode", "create_time")
    with authority() as client:
        request = requests.list_sessions_request(client.project_id, state or "", 0, "")
        show_pages(client.sessions.ListSessions, request, lambda page: page.sessions, limit, columns)


@sessions.command("show")
@click.argument("session_id")
def show_session(session_id: str) -> None:
    """Show one session."""
    with authority() as client:
        show_message(client.sessions.GetSession(session_pb2.GetSessionRequest(session_id=session_id)).session)


@sessions.command("end")
@click.argument("session_id")
def end_session(session_id: str) -> None:
    """End a session for ever: it gets no more tokens, and its existing tokens become invalid."""
    with authority() as client:
        show_message(client.sessions.EndSession(session_pb2.EndSessionRequest(session_id=session_id)).session)
