"""The log of a running server: a record is durable before its answer leaves; those that come together share a sync."""

from __future__ import annotations

import asyncio

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import attrs
import msgspec
import structlog

from tokenauthority.audit.errors import NotRenamedError
from tokenauthority.audit.record import AuditRecord, encode_record, time_text
from tokenauthority.audit.writing.batch import Backlog, Batch, backlog_of
from tokenauthority.audit.writing.gathering import Gathering
from tokenauthority.audit.writing.log_file import Disk
from tokenauthority.audit.writing.writer import ChainWriter
from tokenauthority.domain.errors import UnavailableError
from tokenauthority.domain.times import Millis
from tokenauthority.threads import BlockingPool


MAX_PENDING: Final = 64 * 1024 * 1024
"""Bytes of records that may wait for the disk. Further records are refused, as on a full disk."""


class AuditLog(Protocol):
    """Where audit records go."""

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """Write *record*; once this returns, the answer may leave.

        *more* says whether other calls are about to append theirs: the record waits some milliseconds for them.

        Raises:
            UnavailableError: `AUDIT_UNAVAILABLE`, the record may not have been written.
        """

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write a line of the type *kind* that is about no single RPC; see `append`."""


@attrs.frozen(kw_only=True)
class LogOptions:
    """How a log is written; times are in seconds.

    Attributes:
        durable: Whether each commit is synced to the disk (fdatasync) before it counts.
        max_bytes: The size of a file at which it is rotated; None leaves rotation to others.
        checkpoint_interval: The longest time between a line and the next checkpoint.
        stall: The longest time that a record waits for the disk before it fails.
        retry: The pause between two attempts to recover after a failure.
        rotation_pause: The pause between two attempts to rename a full file.
        watch: The time between two checks, without traffic, that the file is still in its place.
    """

    durable: bool = True
    max_bytes: int | None = None
    checkpoint_interval: float = 60.0
    stall: float = 10.0
    retry: float = 0.5
    rotation_pause: float = 60.0
    watch: float = 1.0


class FileAuditLog:
    """The log at *path*, its checkpoints signed by the key at *key_file*; belongs to the event loop that runs it.

    `problem` is why no record can be written now; empty when one can. `written` counts the records, and `commits` those
    that had any.
    """

    def __init__(
        self,
        path: Path,
        key_file: Path,
        *,
        clock: Callable[[], Millis],
        options: LogOptions | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._options = options or LogOptions()
        self._clock = clock
        self._worker = BlockingPool("audit")
        self._writer = ChainWriter(
            # A rotation would else rename a symbolic link and not its file, and continue elsewhere.
            path.resolve(),
            key_file,
            durable=self._options.durable,
            disk=disk or Disk(),
            worker=self._worker,
            clock=clock,
        )
        self._logger = structlog.stdlib.get_logger("tokenauthority.audit")
        self.problem = "not started"
        self.written = self.commits = 0
        self._cause: Exception | None = None
        self._pending = Batch()
        self._in_flight = Batch()
        self._closing = False
        self._moved = self._check_due = self._checkpoint_due = self._recovery_due = False
        self._next_rotation = 0.0
        self._retry_timer: asyncio.TimerHandle | None = None
        self._checkpoint_timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._gathering = Gathering(lambda: len(self._pending), self._wake.set)
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Accept records while the block runs; raise AuditLogError as `ChainWriter.open_log`."""
        try:
            await self._writer.open_log()
            self.problem = ""
            self._watch()
            self._task = asyncio.create_task(self._work())
            yield
        finally:
            await self._stop()

    async def append(self, record: AuditRecord, *, more: bool = False) -> None:
        """Write *record*; see `AuditLog.append`."""
        await self._enqueue("rpc", encode_record(record), partial(self._gathering.add, more=more))

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write a line that is about no single RPC; see `AuditLog.note`."""
        await self._enqueue(kind, msgspec.json.encode({"time": time_text(self._clock()), **fields}), self._wake.set)

    @property
    def backlog(self) -> Backlog:
        """What waits for the disk now."""
        return backlog_of(self._in_flight, self._pending)

    def reopen(self) -> None:
        """Continue in a new file if somebody has moved this one, as logrotate does before it sends SIGHUP."""
        self._check_due = True
        if self._task is not None:
            self._wake.set()

    def _watch(self) -> None:
        self.reopen()
        self._watch_timer = asyncio.get_running_loop().call_later(self._options.watch, self._watch)

    async def _enqueue(self, kind: str, body: bytes, added: Callable[[], object]) -> None:
        if self.problem or self._closing or self._pending.size + len(body) > MAX_PENDING:
            raise UnavailableError.audit() from self._cause
        committed = self._pending.add(kind, body)
        added()
        try:
            await committed
        finally:
            # It refers to the error that it ends with, and the traceback of that to this frame.
            del committed

    async def _work(self) -> None:
        while not self._closing or (self._pending and not self.problem):
            await self._wake.wait()
            self._wake.clear()
            # Whatever goes wrong here, no record may wait forever, and the next turn tries to recover.
            try:
                await self._turn()
            except Exception as error:  # noqa: BLE001 - no other task writes the log: if an exception ended this task, every call would wait forever; _fail raises it in each waiting call
                self._fail(error)

    async def _turn(self) -> None:
        timer = asyncio.get_running_loop().call_later(self._options.stall, self._fail, TimeoutError("the disk hangs"))
        try:
            if not self.problem:
                await self._write_pending()
            elif self._recovery_due and not self._closing:
                # Only the retry timer sets this: other wake-ups must not make attempts more frequent.
                self._recovery_due = False
                await self._writer.recover(self.problem)
                self.problem, self._cause = "", None
                self._moved = False
                self._wake.set()
        finally:
            timer.cancel()
        self._schedule_checkpoint()

    async def _write_pending(self) -> None:
        if self._check_due:
            self._check_due = False
            self._moved = await self._writer.was_moved()
        due, self._checkpoint_due = self._checkpoint_due and self._writer.uncovered > 0, False
        self._gathering.begin_commit()
        self._in_flight, self._pending = self._pending, Batch()
        if self._in_flight or due:
            lines = self._in_flight.lines
            self._moved |= await self._writer.write_lines(lines, checkpoint=due, on_committed=self._settle_in_flight)
        if self._moved:
            await self._writer.rotate()
            self._moved = False
        limit, now = self._options.max_bytes, asyncio.get_running_loop().time()
        if limit is not None and self._writer.size >= limit and now >= self._next_rotation:
            try:
                await self._writer.rotate()
            except NotRenamedError as error:
                # The full file is written on, and the rotation is tried again after a pause.
                self._next_rotation = now + self._options.rotation_pause
                self._logger.warning("audit.not_rotated", cause=_cause_text(error), errno=error.errno)

    def _settle_in_flight(self) -> None:
        self.written += len(self._in_flight)
        self.commits += bool(self._in_flight)
        self._gathering.end_commit(len(self._in_flight))
        self._in_flight.settle()
        self._in_flight = Batch()

    def _fail(self, error: Exception) -> None:
        """Fail all records that wait, and refuse new ones until the log has recovered."""
        first = not self.problem
        self.problem = _cause_text(error)
        self._cause = error
        for batch in (self._in_flight, self._pending):
            batch.fail(error)
        self._in_flight, self._pending = Batch(), Batch()
        if first:
            self._logger.error("audit.unavailable", cause=self.problem, errno=getattr(error, "errno", None))
        if self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(self._options.retry, self._on_retry)

    def _on_retry(self) -> None:
        self._retry_timer = None
        self._recovery_due = True
        self._wake.set()

    def _schedule_checkpoint(self) -> None:
        if self._writer.uncovered and self._checkpoint_timer is None:
            loop = asyncio.get_running_loop()
            self._checkpoint_timer = loop.call_later(self._options.checkpoint_interval, self._on_checkpoint_due)

    def _on_checkpoint_due(self) -> None:
        self._checkpoint_timer = None
        self._checkpoint_due = True
        self._wake.set()

    async def _stop(self) -> None:
        """Write what waits, end the log and close it, within twice the time that a disk may stall."""
        self._closing = True
        self._gathering.begin_commit()
        self._wake.set()
        for timer in (self._checkpoint_timer, self._watch_timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        ending = asyncio.create_task(self._end())
        done, _ = await asyncio.wait([ending], timeout=2 * self._options.stall)
        if not done:
            # The thread still has the file, which the end of the process closes.
            ending.cancel()
            self._logger.error("audit.not_ended", cause="the disk hangs")
        self.problem = self.problem or "closed"
        await self._worker.close()

    async def _end(self) -> None:
        if self._task is not None:
            await self._task
            problem = self.problem
            if not problem:
                try:
                    await self._writer.write_stop()
                except OSError as error:
                    problem = _cause_text(error)
            if problem:
                self._logger.error("audit.not_ended", cause=problem)
        await self._writer.close()


def _cause_text(error: BaseException) -> str:
    """Return the cause for operators: the text of the operating system, or the type of the error where it is a bug."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return type(error).__name__
