"""Writes the chain: gives lines their places, commits them together, signs checkpoints, rotates and recovers.

Its methods are for one task at a time. The chain is worked out on the event loop, in order; the disk is waited for on a
thread. What a commit did not bring to the disk leaves the place as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import msgspec
import structlog

from tokenauthority.audit.chain import DamagedLineError, Position, digest, seal
from tokenauthority.audit.checkpoint import HeadFile
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.file import Aside, LogFile, Opened, Salvaged
from tokenauthority.audit.keys import AuditKey
from tokenauthority.audit.record import time_text
from tokenauthority.audit.resume import Resumption, require_key, resume


if TYPE_CHECKING:
    from tokenauthority.audit.disk import Disk
    from tokenauthority.audit.worker import AuditThread
    from tokenauthority.domain.times import Millis


T = TypeVar("T")

Fields = Mapping[str, object]

_json: Final = msgspec.json.Encoder()


class ChainWriter:
    """One log: its file at *path*, its head file beside it, and the key at *key_file* that signs its checkpoints."""

    def __init__(
        self, path: Path, key_file: Path, *, durable: bool, disk: Disk, worker: AuditThread, clock: Callable[[], Millis]
    ) -> None:
        self._path = path
        self._key_file = key_file
        self._durable = durable
        self._worker = worker
        self._clock = clock
        self._file = LogFile(path, disk)
        self._head_file = HeadFile(path)
        self._key: AuditKey
        self._log_id = ""
        self._position = Position()
        self._covered = 0
        self._logger = structlog.stdlib.get_logger("tokenauthority.audit")

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    @property
    def uncovered(self) -> int:
        """How many lines came after the last checkpoint."""
        return self._position.seq - self._covered

    async def open(self) -> None:
        """Open the log and write that it begins or goes on.

        Raises:
            AuditLogError: it cannot be opened or written, or lines of it are missing.
        """
        try:
            await self._do(partial(require_key, self._path, self._key_file))
            self._key = await self._do(partial(AuditKey.open, self._key_file))
            opened = await self._do(self._file.open)
            found = await self._do(partial(self._resume, opened))
            self._log_id, self._position = found.log_id, found.position
            self._warn(opened, found)
            # Of a log whose lines are all in other files, this one's first line must tell which log it is.
            kind = "start" if opened.first is not None or not found.position.seq else "continued"
            fields = {**self._place(self._position), "anchor": found.anchor, **_torn(opened.aside)}
            await self._commit([(kind, _json.encode(fields))], checkpoint="start", durable=True)
        except AuditLogError:
            raise
        except DamagedLineError as error:
            raise AuditLogError(f"the audit log {self._path} or its head file is damaged: {error}") from error
        except OSError as error:
            raise AuditLogError(f"the audit log {self._path} cannot be written: {error.strerror or error}") from error

    async def write(
        self, lines: Iterable[tuple[str, bytes]], *, checkpoint: bool, kept: Callable[[], None] = lambda: None
    ) -> bool:
        """Commit *lines* (type and JSON object), and a checkpoint after them if asked for.

        *kept* is called as soon as they are, before the checkpoint is put into the head file.

        Returns:
            Whether the file was moved, so that `rotate` must come next.

        Raises:
            OSError: they are not kept, unless *kept* was called; `recover` must come next.
        """
        return await self._commit(lines, checkpoint="interval" if checkpoint else None, kept=kept)

    async def was_moved(self) -> bool:
        """Whether somebody moved the file, as logrotate does before it sends SIGHUP.

        Raises:
            OSError: it is not as it was left; `recover` must come next.
        """
        return await self._do(self._file.moved)

    async def rotate(self) -> None:
        """End the file with a checkpoint and go on in a new one; the full one gets a name with time and number.

        Raises:
            OSError: that failed; `recover` must come next.
        """
        moved = await self._commit([], checkpoint="rotation", durable=True)
        count = self._position.seq
        name = f"{self._path.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{count}{self._path.suffix}"
        await self._do(partial(self._file.go_on, None if moved else self._path.with_name(name)))
        await self._commit([("continued", _json.encode(self._place(self._position)))], checkpoint="start", durable=True)
        self._logger.info("audit.rotated", to="" if moved else name, count=count)

    async def recover(self, cause: str) -> None:
        """After a failure: save what is in the file, write that there was one, and go on.

        Raises:
            OSError: not yet.
        """
        # Before anything is added to the log: else a head file that cannot be written would add to it at every try.
        await self._do(self._head_file.probe)
        salvaged = await self._do(self._file.salvage)
        position = self._position
        for line in salvaged.kept.splitlines():
            position = Position(position.seq + 1, digest(line))
        fields = {**self._place(position), "cause": cause, **_lost(salvaged), **_torn(salvaged.aside)}
        await self._commit(
            [("recovered", _json.encode(fields))],
            checkpoint="recovery",
            durable=True,
            after=(salvaged.kept, position),
        )
        self._logger.warning("audit.recovered", cause=cause, count=self._position.seq)

    async def end(self) -> None:
        """Write that the log ends here, for now.

        Raises:
            OSError: it cannot be written.
        """
        line = _json.encode({"time": self._now()})
        await self._commit([("stop", line)], checkpoint="stop", durable=True)

    async def close(self) -> None:
        """Close the file."""
        await self._do(self._file.close)

    async def _commit(
        self,
        lines: Iterable[tuple[str, bytes]],
        *,
        checkpoint: str | None = None,
        durable: bool = False,
        kept: Callable[[], None] = lambda: None,
        after: tuple[bytes, Position] | None = None,
    ) -> bool:
        """Append what is asked for; *after* are lines that come first and have their places already."""
        before, position = after or (b"", self._position)
        parts = []
        for kind, body in lines:
            line, position = seal(position, kind, body)
            parts.append(line)
        signed = None
        if checkpoint is not None:
            signed = self._key.checkpoint(position, time=self._now(), log_id=self._log_id, reason=checkpoint)
            line, position = seal(position, "checkpoint", _json.encode(signed))
            parts.append(line)
        # A checkpoint is on the disk before the head file may name it, whatever the durability of the rest.
        sync = self._durable or durable or signed is not None
        data = b"%b%b\n" % (before, b"\n".join(parts))
        moved = await self._do(partial(self._file.commit, data, durable=sync))
        self._position = position
        kept()
        if signed is not None:
            self._covered = position.seq
            self._logger.info("audit.checkpoint", **msgspec.structs.asdict(signed))
            await self._do(partial(self._head_file.write, line))
        return moved

    def _resume(self, opened: Opened) -> Resumption:
        return resume(self._path, opened, self._head_file.read(), self._key, self._file.find)

    def _warn(self, opened: Opened, found: Resumption) -> None:
        """Tell the operator of what may be in order, and may be somebody's doing."""
        facts = {"path": str(self._path), "count": found.position.seq, "log_id": found.log_id}
        if found.anchor == "absent":
            self._logger.warning("audit.head_file_absent", **facts)
        elif opened.first is None and found.position.seq:
            self._logger.warning("audit.earlier_records_elsewhere", **facts)

    def _place(self, position: Position) -> dict[str, object]:
        """What the first line of a file says: which log it belongs to and what came before."""
        return {"time": self._now(), "log_id": self._log_id, "count": position.seq, "head": position.head}

    def _now(self) -> str:
        return time_text(self._clock())

    async def _do(self, work: Callable[[], T]) -> T:
        return await self._worker.run(work)


def _torn(aside: Aside | None) -> Fields:
    return {} if aside is None else {"torn": attrs.asdict(aside)}


def _lost(salvaged: Salvaged) -> Fields:
    return {"missing_bytes": salvaged.missing} if salvaged.missing else {}
