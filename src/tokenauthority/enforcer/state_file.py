"""Store the place in the stream of revocations together with the removals that are pending before it, in one file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from tokenauthority.enforcer.pending import Pending, PendingRemovals
from tokenauthority.files import open_regular, replace_file
from tokenauthority.threads import BlockingPool


_VERSION: Final = 1


class StateFileError(Exception):
    """The file cannot be used; the message says why, and names it."""


class _State(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    resume_token: str
    pending: list[Pending]


class StateFile:
    """The file at *path*, in a directory of which this process is the only writer.

    A crash leaves the file as it was after a save or before it. So a revocation is pending in the file, or the stream
    sends it again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = BlockingPool("state")
        self._saved = b""

    def load(self, limit: int) -> PendingRemovals:
        """Return what was saved last; nothing, from the start of the stream, if there is no file.

        Raises:
            StateFileError: it cannot be read, or is damaged. To begin anew, delete it: the stream then sends everything
                that is in force.
        """
        try:
            with open_regular(self._path) as file:
                self._saved = file.read()
            state = msgspec.json.decode(self._saved, type=_State)
        except FileNotFoundError:
            return PendingRemovals(limit)
        except OSError as error:
            raise StateFileError(f"the state file {self._path} cannot be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise StateFileError(f"the state file {self._path} is damaged: delete it to begin anew") from None
        if state.version != _VERSION:
            raise StateFileError(f"the state file {self._path} is of another version of this program")
        return PendingRemovals(limit, state.pending, state.resume_token)

    async def save(self, removals: PendingRemovals) -> None:
        """Make *removals* durable as they are now; raise OSError or PoolError."""
        # The place and what is pending before it, of one moment.
        data = msgspec.json.encode(_State(_VERSION, removals.resume_token, list(removals)))
        if data != self._saved:
            await self._thread.run(partial(replace_file, self._path, data))
            self._saved = data
