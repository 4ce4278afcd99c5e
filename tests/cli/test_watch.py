"""`tokenauthority tokens watch`, as a process of its own, against a real authority."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import re
import signal
import subprocess
import threading

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import attrs
import pytest

from tests.cli.conftest import Run
from tests.support import forkserver
from tests.support.authority import WAIT, RunningAuthority, StartAuthority, clean_environment
from tests.support.forkserver import ForkedProcess
from tests.support.production import Production


@attrs.define
class Watcher:
    """A running `tokens watch`, and what it prints."""

    process: ForkedProcess
    lines: queue.Queue[str] = attrs.Factory(queue.Queue)

    def read(self) -> None:
        """Take in what it prints, until it ends."""
        for line in self.process.stdout or ():
            self.lines.put(line.rstrip("\n"))

    def line(self) -> str:
        """The next line, which comes within a bounded time."""
        return self.lines.get(timeout=WAIT)

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal: the exit status, and what standard error has."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for it: the exit status, and what standard error has."""
        status = self.process.wait(WAIT)
        return status, "" if self.process.stderr is None else self.process.stderr.read()


class StartWatch(Protocol):
    """Starts `tokens watch`, which the test's end kills."""

    def __call__(self, environment: Mapping[str, str], *options: str) -> Watcher:
        """*environment* names the authority."""


@pytest.fixture
def start_watch() -> Iterator[StartWatch]:
    """A factory."""
    with contextlib.ExitStack() as stack:

        def start(environment: Mapping[str, str], *options: str) -> Watcher:
            process = forkserver.start(
                ["tokens", "watch", *options],
                cwd=Path.cwd(),
                env=clean_environment(**environment),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            watcher = Watcher(process)
            pump = threading.Thread(target=watcher.read, daemon=True)
            pump.start()
            return watcher

        yield start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prints_a_line_for_each_event(
    start_watch: StartWatch, run: Run, running_authority: RunningAuthority, session_id: str, number: signal.Signals
) -> None:
    """What is in force, a mark, what happens; a signal ends it with 0 and tells how to go on."""
    run("tokens", "revoke", "--subject", "bob", "--comment", "lost\nphone")
    watcher = start_watch(running_authority.environment)
    before = [watcher.line(), watcher.line()]
    run("sessions", "end", session_id)
    after = watcher.line()

    status, err = watcher.stop(number)

    assert before[0].startswith("revocation revocation_id=rev_")
    assert f" project_id={running_authority.project_id} subject=bob issued_before=20" in before[0]
    assert r" comment=lost\nphone " in before[0]
    assert re.fullmatch(r"snapshot_end time=20[-0-9]+ [:0-9]+ UTC", before[1])
    assert after.startswith(f"session_end session_id={session_id} ")
    assert 0 == status
    assert re.fullmatch(r"to go on: --resume-token [0-9.]+\n", err)


def test_goes_on_from_a_token(start_watch: StartWatch, run: Run, running_authority: RunningAuthority) -> None:
    """The one that it printed, or one of a JSON line; what happened meanwhile comes, and nothing before it."""
    first = start_watch(running_authority.environment)
    assert first.line().startswith("snapshot_end time=")
    run("tokens", "revoke", "--subject", "seen")
    assert "subject=seen" in first.line()
    _, err = first.stop(signal.SIGTERM)
    run("tokens", "revoke", "--subject", "missed")

    second = start_watch(running_authority.environment, "--json", *err.split()[-2:])
    missed, mark = json.loads(second.line()), json.loads(second.line())

    assert "missed" == missed["revocation"]["subject"]
    assert (None, None) == (missed["session_end"], missed["heartbeat"])
    assert ({"time"}, missed["resume_token"]) == (mark["snapshot_end"].keys(), mark["resume_token"])


def test_prints_heartbeats_if_asked(start_watch: StartWatch, start_authority: StartAuthority) -> None:
    """For a program that must know how old its knowledge is."""
    running = start_authority(settings={"limits": {"watch_heartbeat": 0.1}})
    watcher = start_watch(running.environment, "--json", "--heartbeats")

    assert [True, False] == [json.loads(watcher.line())["heartbeat"] is None for _ in range(2)]


def test_watches_the_projects_that_are_named(
    start_watch: StartWatch, run: Run, running_authority: RunningAuthority
) -> None:
    """Else that of the environment, else all."""
    for project in ("47", "48"):
        run("projects", "create", "--project-id", project)
        run("tokens", "revoke", "--subject", f"of {project}", "--project", project)
    run("tokens", "revoke", "--subject", "mine")
    environment = running_authority.environment
    everything = {name: value for name, value in environment.items() if name != "TOKENAUTHORITY_PROJECT_ID"}

    seen = []
    for watcher in (
        start_watch(environment, "--json"),
        start_watch(environment, "--json", "--project", "47", "--project", "48"),
        start_watch(everything, "--json"),
    ):
        lines = map(json.loads, iter(watcher.line, ""))
        in_force = itertools.takewhile(lambda line: line["revocation"] is not None, lines)
        seen.append(sorted(line["revocation"]["subject"] for line in in_force))

    assert [["mine"], ["of 47", "of 48"], ["mine", "of 47", "of 48"]] == seen


def test_goes_on_when_the_server_is_killed(start_watch: StartWatch, production: Production, run_alone: Run) -> None:
    """It says that the connection was lost, and prints what it missed."""
    first = production.start()
    (production.directory / "ca.pem").write_bytes(production.root_certificates)
    environment = {
        "TOKENAUTHORITY_ADDRESS": first.address,
        "TOKENAUTHORITY_API_KEY": production.api_key,
        "TOKENAUTHORITY_CA_FILE": str(production.directory / "ca.pem"),
    }
    run_alone("projects", "create", "--project-id", "47", env=environment)
    watcher = start_watch(environment)
    assert watcher.line().startswith("snapshot_end time=")
    first.process.kill()
    first.process.wait(WAIT)
    production.start(LISTEN__GRPC=first.address)

    run_alone("tokens", "revoke", "--subject", "bob", "--project", "47", env=environment)
    lines = {watcher.line().split()[0], watcher.line().split()[0]}
    status, err = watcher.stop(signal.SIGTERM)

    assert {"revocation", "snapshot_end"} == lines
    assert 0 == status
    assert "connection lost: " in err


def test_fails_as_other_commands_where_it_never_was_connected(
    start_watch: StartWatch, running_authority: RunningAuthority
) -> None:
    """Nobody there: 3; refused: 1."""
    environment = running_authority.environment
    nobody = start_watch({**environment, "TOKENAUTHORITY_ADDRESS": "127.0.0.1:1"}).end()
    refused = start_watch(environment, "--resume-token", "x").end()
    stranger = start_watch({**environment, "TOKENAUTHORITY_API_KEY": "tak_x"}).end()

    assert [3, 1, 1] == [status for status, _ in (nobody, refused, stranger)]
    assert nobody[1].startswith("error: 127.0.0.1:1: connection refused")
    assert "resume_token" in refused[1]
    assert "CREDENTIAL_INVALID" in stranger[1]
