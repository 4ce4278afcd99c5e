"""Small files are written whole or not at all, and those of an operator opened without waiting for a writer."""

from __future__ import annotations

import os
import stat

from collections.abc import Callable
from pathlib import Path

import pytest

from tokenauthority.callers.file import CallersFileError, load_callers
from tokenauthority.files import create_file, exposed_mode, replace_file


def contents(directory: Path) -> dict[str, bytes]:
    """What the files of the directory hold."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is cut off, or the disk full, when data should reach the disk."""

    def cut_off(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", cut_off)


@pytest.mark.parametrize("write", [replace_file, create_file])
def test_writes_for_the_owner_alone(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    """Nothing else is left in the directory."""
    write(tmp_path / "key", b"one")

    assert {"key": b"one"} == contents(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / "key").stat().st_mode)


def test_follows_no_link_and_takes_no_mode_of_what_is_in_its_way(tmp_path: Path) -> None:
    """A link there could lead to any file, and others could have opened a file there for reading."""
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    for way in ("link", "file"):
        new = tmp_path / "key.new"
        new.symlink_to(other) if way == "link" else new.touch(0o666)
        replace_file(tmp_path / "key", way.encode())

        assert {"key": way.encode(), "other": b"kept"} == contents(tmp_path)
        assert 0o600 == stat.S_IMODE((tmp_path / "key").lstat().st_mode)


def test_replaces_a_file_whole(tmp_path: Path) -> None:
    """By another one, so that whoever has the old one open reads that to its end."""
    (tmp_path / "key").write_bytes(b"one")
    with (tmp_path / "key").open("rb") as before:
        replace_file(tmp_path / "key", b"two")

        assert b"one" == before.read()
    assert {"key": b"two"} == contents(tmp_path)


@pytest.mark.usefixtures("unsynced")
def test_a_replacement_that_is_cut_off_leaves_the_file(tmp_path: Path) -> None:
    """As it was."""
    (tmp_path / "key").write_bytes(b"one")
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "key", b"two")

    assert b"one" == contents(tmp_path)["key"]


@pytest.mark.usefixtures("unsynced")
def test_a_file_whose_making_is_cut_off_is_not_there(tmp_path: Path) -> None:
    """Nor any part of it."""
    with pytest.raises(KeyboardInterrupt):
        create_file(tmp_path / "key", b"one")

    assert {} == contents(tmp_path)


def test_does_not_touch_a_file_that_another_process_has_made(tmp_path: Path) -> None:
    """Processes that start at once in one directory agree on one key."""
    (tmp_path / "key").write_bytes(b"one")

    create_file(tmp_path / "key", b"two")

    assert {"key": b"one"} == contents(tmp_path)


def test_makes_the_directory_for_the_owner_alone(tmp_path: Path) -> None:
    """With all that is above it."""
    create_file(tmp_path / "a" / "b" / "key", b"one")

    assert {"key": b"one"} == contents(tmp_path / "a" / "b")
    assert 0o700 == stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode)


def test_says_why_a_file_cannot_be_made(tmp_path: Path) -> None:
    """As the system does, and not because of the cleaning up."""
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "file" / "key", b"one")


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write into it."""
    os.mkfifo(tmp_path / "callers.toml")

    with pytest.raises(CallersFileError, match="cannot be read"):
        load_callers(tmp_path / "callers.toml")


@pytest.mark.parametrize(
    ("mode", "owner", "group", "exposed"),
    [
        (0o600, 0, 0, ""),
        (0o400, 0, 0, ""),
        (0o640, 0, 0, "0640"),
        (0o604, 0, 0, "0604"),
        (0o602, 0, 0, "0602"),
        (0o440, 1, 0, ""),
        (0o460, 1, 0, "0460"),
        (0o440, 1, 1, "0440"),
    ],
)
def test_a_mode_is_exposed_to_others(tmp_path: Path, mode: int, owner: int, group: int, exposed: str) -> None:
    """The group is others too, unless it is how this process reads the file, as where Kubernetes mounts a secret."""
    path = tmp_path / "key"
    path.touch()
    path.chmod(mode)
    if owner or group:
        if os.geteuid():
            pytest.skip("only root gives a file away")
        os.chown(path, os.geteuid() + owner, os.getegid() + 54_321 * group)

    assert exposed == exposed_mode(path)
    assert (exposed if mode & 0o022 else "") == exposed_mode(path, secret=False)
    assert "" == exposed_mode(tmp_path / "absent")
