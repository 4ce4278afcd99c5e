"""The chain writer: chains lines and commits them together, signs checkpoints, rotates files and recovers.

One task at a time may call it. The event loop computes the chain, in order; a worker thread waits for the disk wherever
something is synced. After a commit that failed, the chain continues from the position before that commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import attrs
import msgspec
import structlog

from tokenauthority.audit.chain import DamagedLineError, Position, chain_line, hash_line
from tokenauthority.audit.checkpoint import CheckpointFile
from tokenauthority.audit.errors import AuditLogError
from tokenauthority.audit.keys import AuditKey
from tokenauthority.audit.record import time_text
from tokenauthority.audit.writing.log_file import Disk, LogFile, Opened, Quarantined
from tokenauthority.audit.writing.resume import Resumption, require_key, resume
from tokenauthority.domain.times import Millis
from tokenauthority.threads import BlockingPool


class ChainWriter:
    """One log: its file at *path*, its checkpoint file, and the key at *key_file* that signs its checkpoints.

    Every method may raise an OSError. After one of `write_lines`, `was_moved` or `rotate`, call `recover` next.
    """

    def __init__(
        self,
        path: Path,
        key_file: Path,
        *,
        durable: bool,
        disk: Disk,
        worker: BlockingPool,
        clock: Callable[[], Millis],
    ) -> None:
        self._path = path
        self._key_file = key_file
        self._durable = durable
        self._worker = worker
        self._clock = clock
        self._file = LogFile(path, disk)
        self._checkpoint_file = CheckpointFile(path)
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

    async def open_log(self) -> None:
        """Open the log and write that it begins or continues; raise AuditLogError, also if lines are missing."""
        try:
            await self._worker.run(partial(require_key, self._path, self._key_file))
            self._key = await self._worker.run(partial(AuditKey.load_or_create, self._key_file))
            opened = await self._worker.run(self._file.open_locked)
            found = await self._worker.run(partial(resume, self._file, opened, self._key))
            self._log_id, self._position = found.log_id, found.position
            self._warn_of_absences(opened, found)
            # Where all lines of the log are in other files, the first line of this one must name the log.
            kind = "start" if opened.first is not None or not found.position.seq else "continued"
            fields = {**self._fields_at(self._position), "anchor": found.anchor, **_torn(opened.quarantined)}
            await self._commit([(kind, msgspec.json.encode(fields))], checkpoint="start", durable=True)
        except AuditLogError:
            raise
        except DamagedLineError as error:
            raise AuditLogError(f"the audit log {self._path} or its checkpoint file is damaged: {error}") from error
        except OSError as error:
            raise AuditLogError(f"the audit log {self._path} cannot be written: {error.strerror or error}") from error

    async def write_lines(
        self, lines: Iterable[tuple[str, bytes]], *, checkpoint: bool, on_committed: Callable[[], None] = lambda: None
    ) -> bool:
        """Commit *lines* (type and JSON object of each), and after them a *checkpoint* if asked for.

        *on_committed* is called once the lines are committed, before the checkpoint file is written. If this method
        raises before it calls *on_committed*, the lines are not committed.

        Returns:
            Whether the file was moved; if so, call `rotate` next.
        """
        return await self._commit(lines, checkpoint="interval" if checkpoint else None, on_committed=on_committed)

    async def was_moved(self) -> bool:
        """Return whether somebody moved the file, as logrotate does before it sends SIGHUP."""
        return await self._worker.run(self._file.was_moved)

    async def rotate(self) -> None:
        """End the file with a checkpoint and continue in a new file; the name of the old one gets time and number."""
        moved = await self._commit([], checkpoint="rotation", durable=True)
        count = self._position.seq
        name = f"{self._path.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{count}{self._path.suffix}"
        await self._worker.run(partial(self._file.rotate_to, None if moved else self._path.with_name(name)))
        start = msgspec.json.encode(self._fields_at(self._position))
        await self._commit([("continued", start)], checkpoint="start", durable=True)
        self._logger.info("audit.rotated", to="" if moved else name, count=count)

    async def recover(self, cause: str) -> None:
        """Recover what a failed commit left, write a line about the failure and its *cause*, and continue."""
        # Checked first: else each attempt would add lines to the log where the checkpoint file cannot be written.
        await self._worker.run(self._checkpoint_file.require_writable)
        recovered = await self._worker.run(self._file.recover)
        position = self._position
        for line in recovered.lines.splitlines():
            position = Position(position.seq + 1, hash_line(line))
        missing = {"missing_bytes": recovered.missing} if recovered.missing else {}
        fields = {**self._fields_at(position), "cause": cause, **missing, **_torn(recovered.quarantined)}
        await self._commit(
            [("recovered", msgspec.json.encode(fields))],
            checkpoint="recovery",
            durable=True,
            after=(recovered.lines, position),
        )
        self._logger.warning("audit.recovered", cause=cause, count=self._position.seq)

    async def write_stop(self) -> None:
        """Write that the server stops here."""
        await self._commit([("stop", msgspec.json.encode({"time": self._now()}))], checkpoint="stop", durable=True)

    async def close(self) -> None:
        """Close the file."""
        await self._worker.run(self._file.close)

    async def _commit(
        self,
        lines: Iterable[tuple[str, bytes]],
        *,
        checkpoint: str | None = None,
        durable: bool = False,
        on_committed: Callable[[], None] = lambda: None,
        after: tuple[bytes, Position] | None = None,
    ) -> bool:
        """Append *lines*; *after* holds lines that come first and are chained already, and the position after them."""
        before, position = after or (b"", self._position)
        parts = []
        for kind, body in lines:
            line, position = chain_line(position, kind, body)
            parts.append(line)
        signed = None
        if checkpoint is not None:
            signed = self._key.sign_checkpoint(position, time=self._now(), log_id=self._log_id, reason=checkpoint)
            line, position = chain_line(position, "checkpoint", msgspec.json.encode(signed))
            parts.append(line)
        # A checkpoint is on the disk before the checkpoint file names it, whatever the durability of the rest.
        sync = self._durable or durable or signed is not None
        data = b"%b%b\n" % (before, b"\n".join(parts))
        commit = partial(self._file.commit, data, durable=sync)
        # Without a sync the system only takes the bytes: to wait for a thread would cost more than that.
        moved = await self._worker.run(commit) if sync else commit()
        self._position = position
        on_committed()
        if signed is not None:
            self._covered = position.seq
            self._logger.info("audit.checkpoint", **msgspec.to_builtins(signed))
            await self._worker.run(partial(self._checkpoint_file.write_checkpoint, line))
        return moved

    def _warn_of_absences(self, opened: Opened, found: Resumption) -> None:
        """Log what may be in order and may also be tampering."""
        facts = {"path": str(self._path), "count": found.position.seq, "log_id": found.log_id}
        if found.anchor == "absent":
            self._logger.warning("audit.head_file_absent", **facts)
        elif opened.first is None and found.position.seq:
            self._logger.warning("audit.earlier_records_elsewhere", **facts)

    def _fields_at(self, position: Position) -> dict[str, object]:
        """Return the fields of a file's first line: which log it belongs to and what came before."""
        return {"time": self._now(), "log_id": self._log_id, "count": position.seq, "head": position.chain_hash}

    def _now(self) -> str:
        return time_text(self._clock())


def _torn(quarantined: Quarantined | None) -> dict[str, object]:
    return {} if quarantined is None else {"torn": attrs.asdict(quarantined)}
