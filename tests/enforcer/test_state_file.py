"""The state file has the place in the stream together with what is pending before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenauthority.domain.times import Millis
from tokenauthority.enforcer.pending import Pending, PendingRemovals
from tokenauthority.enforcer.state_file import StateFile, StateFileError


ONE = Pending(server="video", cause="rev_1", subject="é", since=Millis(1), until=Millis(2))
TWO = Pending(server="video", cause="2_a", rooms=("2_a", "standup"), since=Millis(1), until=Millis(2), swept=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is, or will be."""
    return tmp_path / "state.json"


async def test_what_was_saved_is_loaded(path: Path) -> None:
    """All of it, by another process."""
    await StateFile(path).save(PendingRemovals(10, [ONE, TWO], "7.1"))

    found = StateFile(path).load(10)

    assert ([ONE, TWO], "7.1") == (list(found), found.resume_token)


async def test_a_first_start_begins_with_everything_in_force(path: Path) -> None:
    """Without a file there is no place in the stream."""
    found = StateFile(path).load(10)

    assert ([], "") == (list(found), found.resume_token)


async def test_the_file_is_for_this_user_alone(path: Path) -> None:
    """It names people."""
    await StateFile(path).save(PendingRemovals(10, [ONE]))

    assert 0o600 == path.stat().st_mode & 0o777


async def test_what_has_not_changed_is_not_written(path: Path) -> None:
    """The state is saved twice a minute, also where nothing happens."""
    state, removals = StateFile(path), PendingRemovals(10, [ONE])
    await state.save(removals)
    inode = path.stat().st_ino
    await state.save(removals)
    assert inode == path.stat().st_ino

    removals.resume_token = "8.1"
    await state.save(removals)

    assert inode != path.stat().st_ino


async def test_a_failed_save_leaves_the_file_and_is_tried_again(path: Path) -> None:
    """A directory in the place of the new file stands for a disk that fails."""
    state, removals = StateFile(path), PendingRemovals(10, [ONE])
    await state.save(removals)
    before = path.read_bytes()
    blocker = path.with_name("state.json.new")
    blocker.mkdir()
    removals.add(TWO)

    with pytest.raises(OSError, match=r"directory|permitted"):
        await state.save(removals)
    assert before == path.read_bytes()

    blocker.rmdir()
    await state.save(removals)
    assert [ONE, TWO] == list(StateFile(path).load(10))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version":1,"resume_token":"","pending":[{}]}', b"\xff"])
def test_a_damaged_file_is_an_error(path: Path, data: bytes) -> None:
    """To begin anew in silence would lose who must be removed."""
    path.write_bytes(data)

    with pytest.raises(StateFileError, match=r"state\.json is damaged: delete it"):
        StateFile(path).load(10)


def test_a_file_of_another_version_is_an_error(path: Path) -> None:
    """A later version may mean something else by the same fields."""
    path.write_bytes(b'{"version":2,"resume_token":"","pending":[]}')

    with pytest.raises(StateFileError, match="another version"):
        StateFile(path).load(10)
