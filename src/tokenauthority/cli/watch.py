"""`tokenauthority tokens watch`: print each revocation and ended session as it happens."""

from __future__ import annotations

import signal

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from tokenauthority.cli.options import Command, current
from tokenauthority.cli.output import event_line, print_text, printable


if TYPE_CHECKING:
    from tokenauthority.client import AuthorityError, RevocationWatch


@click.command(cls=Command)
@click.option("--project", "projects", multiple=True, metavar="ID", help="Only this one; may be repeated.")
@click.option("--resume-token", default="", metavar="TOKEN", help="Resume where an earlier watch ended.")
@click.option("--heartbeats", is_flag=True, help="Print heartbeats too.")
def watch(projects: tuple[str, ...], resume_token: str, *, heartbeats: bool) -> None:
    """Print what is in force, a mark, then each revocation and ended session as it happens.

    It prints one line each; with --json one object, the message of the contract. Without --project it watches the
    project of TOKENAUTHORITY_PROJECT_ID, else all projects of the API key. If the connection is lost, it reconnects and
    misses nothing, but may repeat a line. SIGINT (Ctrl-C) or SIGTERM ends it, with status 0; standard error then has
    the token to resume with.
    """
    from tokenauthority.cli.calls import authority

    printer = _Printer(resume_token, heartbeats=heartbeats)
    try:
        with (
            _stoppable(),
            authority() as client,
            client.watch_revocations(
                project_ids=projects or None, resume_token=resume_token, on_lost=printer.report_loss
            ) as messages,
        ):
            printer.print_all(messages)
    except KeyboardInterrupt:
        print_text(f"to go on: {printer.resume_hint()}", err=True)


class _Printer:
    """Prints messages and reports lost connections. Before the first message a loss fails the command."""

    def __init__(self, resume_token: str, *, heartbeats: bool) -> None:
        self._resume_token = resume_token
        self._heartbeats = heartbeats
        self._connected = False

    def print_all(self, messages: RevocationWatch) -> None:
        while True:
            message = messages.next_message()
            self._connected = True
            if self._heartbeats or not message.HasField("heartbeat"):
                print_text(event_line(message, as_json=current().as_json))
            self._resume_token = message.resume_token

    def report_loss(self, error: AuthorityError, pause: float) -> None:
        if not self._connected:
            raise error
        print_text(f"connection lost: {printable(str(error))}; trying again in {pause:.1f} seconds", err=True)

    def resume_hint(self) -> str:
        if self._resume_token:
            return f"--resume-token {printable(self._resume_token)}"
        return "from the start, for what is in force was not read to its end"


@contextmanager
def _stoppable() -> Iterator[None]:
    """Handle SIGTERM like SIGINT, and ignore both while the command ends."""

    def stop(*_: object) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
