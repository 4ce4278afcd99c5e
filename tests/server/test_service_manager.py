"""systemd learns from each program when it serves, that it is alive and that it stops; nothing else needs systemd."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.enforcer.stand_ins import SECRET, LiveKitStandIn, closing
from tests.support.authority import WAIT, RunningAuthority
from tests.support.enforcer import key_file, running_enforcer, settings_text
from tests.support.production import Production
from tokenauthority.server.service_manager import READY, notify, watchdog_tasks


ALIVE = "WATCHDOG=1"


@attrs.frozen
class Manager:
    """The socket of a service manager, and its name for a program."""

    name: str
    socket: socket.socket

    def said(self) -> str:
        """The next message."""
        return self.socket.recv(1024).decode()

    def said_but_alive(self) -> str:
        """The next message that says more than that it is alive."""
        return next(message for message in iter(self.said, "") if message != ALIVE)


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Its socket is in the environment, as systemd puts it there. A path below `tmp_path` could be too long."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        unique = f"tokenauthority-{secrets.token_hex(8)}"
        path = str(Path(directory) / "notify")
        name = path if request.param == "a path" else f"@{unique}"
        bound.bind(path if name == path else f"\0{unique}")
        bound.settimeout(WAIT)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield Manager(name, bound)


def test_a_server_is_ready_once_it_serves_and_says_that_it_stops(manager: Manager, production: Production) -> None:
    """`systemctl start` returns when the server answers."""
    server = production.launch()

    assert READY == manager.said()
    assert server.get("/readyz").is_success
    assert 0 == server.stop()
    assert "STOPPING=1" == manager.said()


def test_a_server_shows_that_it_is_alive(
    manager: Manager, production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as it is asked to, again and again."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    server = production.start()

    assert READY == manager.said_but_alive()
    assert [ALIVE] * 3 == [manager.said() for _ in range(3)]
    assert 0 == server.stop()
    assert "STOPPING=1" == manager.said_but_alive()


def test_an_enforcer_says_the_same(running_authority: RunningAuthority, manager: Manager, tmp_path: Path) -> None:
    """Its unit is that of the server. The authority, of this process, has started before there is a service manager."""
    livekit = LiveKitStandIn()
    with closing(livekit):
        server = {
            "name": "video",
            "kind": "livekit",
            "url": livekit.url,
            "project_id": running_authority.project_id,
            "token_lifetime": 600,
            "key": "APIkey",
            "key_file": key_file(tmp_path, SECRET),
        }
        settings = settings_text(tmp_path / "enforcer", server)
        variables = {**running_authority.environment, "WATCHDOG_USEC": "20000"}
        with running_enforcer(tmp_path, settings, variables):
            assert READY == manager.said_but_alive()
            assert ALIVE == manager.said()
        assert "STOPPING=1" == manager.said_but_alive()


def test_a_server_serves_though_nobody_listens(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says that the message was not taken."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(production.directory / "absent"))
    server = production.start()

    assert server.get("/readyz").is_success
    assert [READY] == [event["state"] for event in server.events("service_manager.not_notified")]


def test_says_nothing_without_a_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that it is alive, if another process was asked to, or in no number."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    notify(READY)
    tasks = [watchdog_tasks()]
    for number in ("soon", "0"):
        monkeypatch.setenv("WATCHDOG_USEC", number)
        tasks.append(watchdog_tasks())
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    tasks.append(watchdog_tasks())
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    (own,) = watchdog_tasks()

    assert [[], [], [], []] == tasks
    assert 0.5 == own.interval
