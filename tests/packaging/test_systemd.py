"""The shipped systemd files: systemd accepts them, they are hardened, and they agree with the program and its pages."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tomllib

from pathlib import Path
from typing import Final

import click
import pytest

from tests.conformance.sdk.programs import find, report_missing
from tests.docs.blocks import BLOCKS
from tokenauthority.cli.app import root
from tokenauthority.config.settings import Settings
from tokenauthority.server.lifecycle import _FINISH


SHIPPED: Final = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT: Final = (SHIPPED / "tokenauthority.service").read_text(encoding="utf-8")
PROGRAM: Final = "/opt/tokenauthority/bin/tokenauthority"
MOST_EXPOSED: Final = 25
"""Tenths, as `systemd-analyze security --threshold` takes them."""


def systemd(name: str, *arguments: str | Path) -> str:
    """Run a program of systemd, which needs no systemd as process 1; return all that it writes."""
    try:
        program = find(name, "none: Debian: apt-get install systemd")
    except RuntimeError as error:
        report_missing(str(error))
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory with the unit and the template for several servers, and a program that is there."""
    for name in ("tokenauthority.service", "tokenauthority@.service"):
        text = UNIT.replace(PROGRAM, str(Path(sys.executable).with_name("tokenauthority")))
        (tmp_path / name).write_text(text, encoding="utf-8")
    drop_in = tmp_path / "tokenauthority@.service.d"
    drop_in.mkdir()
    shutil.copy(SHIPPED / "instance.conf", drop_in)
    return tmp_path


@pytest.mark.parametrize("name", ["tokenauthority.service", "tokenauthority@1.service"])
def test_systemd_accepts_the_unit(name: str, installed: Path) -> None:
    """It says nothing about the unit: systemd ignores a line that it does not understand, and only warns of it."""
    said = systemd("systemd-analyze", "verify", "--man=no", installed / name)

    assert [] == [line for line in said.splitlines() if "tokenauthority" in line]


def test_the_unit_is_hardened(installed: Path) -> None:
    """The exposure that systemd computes is below 2.5, which systemd rates OK."""
    unit = installed / "tokenauthority.service"
    said = systemd("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)

    assert "Overall exposure level" in said


def test_the_unit_gives_the_master_key_that_the_documented_settings_name() -> None:
    """Under the same name, and from no second place: with two sources a server does not start."""
    [documented] = [block for block in BLOCKS if block.title == "/etc/tokenauthority/tokenauthority.toml"]
    keys = tomllib.loads(documented.text)["keys"]

    assert {"master_key_credential": _values("LoadCredential")[0].partition(":")[0]} == keys
    assert [] == [line for line in UNIT.splitlines() if "TOKENAUTHORITY_" in line]


def test_the_unit_runs_a_command_that_exists() -> None:
    """The documented settings file is its argument."""
    program, command, *arguments = _values("ExecStart")[0].split()

    assert PROGRAM == program
    assert ["--config", "/etc/tokenauthority/tokenauthority.toml"] == arguments
    found = root.get_command(click.Context(root), command)
    assert found is not None
    assert "--config" in {option for parameter in found.params for option in parameter.opts}


def test_systemd_waits_until_a_server_has_drained() -> None:
    """A server that systemd kills at a stop would lose RPCs in progress."""
    limits = Settings().limits

    assert limits.drain_delay + limits.drain_grace + _FINISH < float(_values("TimeoutStopSec")[0])


def test_systemd_waits_until_a_server_serves() -> None:
    """For longer than a start takes; the tests of the server hold that it tells systemd."""
    assert ["notify"] == _values("Type")
    assert int(_values("TimeoutStartSec")[0]) >= 300
    assert int(_values("WatchdogSec")[0]) >= 60


def test_each_server_of_a_machine_has_its_own_directory_and_ports() -> None:
    """What the drop-in names are settings."""
    drop_in = (SHIPPED / "instance.conf").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^Environment=TOKENAUTHORITY_(\w+)=(.+)$", drop_in, re.MULTILINE))
    listen = {name.removeprefix("LISTEN__").lower(): value for name, value in variables.items() if "__" in name}

    assert {"grpc", "http", "ops"} == listen.keys()
    assert all("%i" in value for value in variables.values())
    Settings.model_validate({"listen": {name: value.replace("%i", "1") for name, value in listen.items()}})


def test_the_user_and_the_modes_are_what_the_server_needs(tmp_path: Path) -> None:
    """The group of the server reads what is read again; the master key is root's alone."""
    if os.geteuid():
        pytest.skip("systemd-tmpfiles changes owners, which only root can")
    (tmp_path / "etc" / "tokenauthority").mkdir(parents=True)
    for name in ("callers.toml", "master.key", "tls.key", "tokenauthority.toml"):
        (tmp_path / "etc" / "tokenauthority" / name).touch(mode=0o666)
    (tmp_path / "etc" / "passwd").write_text(f"root:x:0:0::/root:{pwd.getpwuid(0).pw_shell}\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\n")
    systemd("systemd-sysusers", f"--root={tmp_path}", SHIPPED / "tokenauthority.sysusers.conf")
    systemd("systemd-tmpfiles", "--create", f"--root={tmp_path}", SHIPPED / "tokenauthority.tmpfiles.conf")

    user = (tmp_path / "etc" / "passwd").read_text().splitlines()[-1].split(":")
    assert ("tokenauthority", "/var/lib/tokenauthority", "/usr/sbin/nologin") == (user[0], *user[5:])
    group = int(user[3])
    found = {path.name: path.stat() for path in (tmp_path / "etc" / "tokenauthority").iterdir()}
    assert {
        "callers.toml": (0o640, 0, group),
        "master.key": (0o600, 0, 0),
        "tls.key": (0o640, 0, group),
        "tokenauthority.toml": (0o640, 0, group),
    } == {name: (status.st_mode & 0o7777, status.st_uid, status.st_gid) for name, status in found.items()}


def _values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.+)$", UNIT, re.MULTILINE)
