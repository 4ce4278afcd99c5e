"""The audit log of a running server: a record is durable before its answer leaves; waiting calls share one fsync."""

from __future__ import annotations

import asyncio

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import msgspec
import structlog

from tokenauthority.audit.disk import Disk
from tokenauthority.audit.errors import NotRenamedError
from tokenauthority.audit.record import encode_record, time_text
from tokenauthority.audit.worker import AuditThread
from tokenauthority.audit.writer import ChainWriter
from tokenauthority.domain.errors import UnavailableError


if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from tokenauthority.audit.record import AuditRecord
    from tokenauthority.domain.times import Millis


MAX_WAITING: Final = 64 * 1024 * 1024
"""Bytes of records that wait for the disk. Beyond them, a record is refused as on a full disk."""


class AuditLog(Protocol):
    """Where audit records go."""

    async def append(self, record: AuditRecord) -> None:
        """Keep *record*; when it returns, the answer may leave.

        Raises:
            UnavailableError: `AUDIT_UNAVAILABLE`, the record is not kept for certain.
        """

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Keep a line of the type *kind* that is about no single RPC; see `append`."""


@attrs.frozen(kw_only=True)
class LogOptions:
    """How a log is kept; times are in seconds.

    `durable`: each commit is on the disk (fdatasync), not only with the operating system. `max_bytes`: the file is
    rotated beyond that; None leaves it to others. `checkpoint_interval`: how long a line may be without a checkpoint
    after it. `stall`: how long a disk may take before those that wait are told so. `retry`: the pause between two
    attempts to go on after a failure. `rotation_pause`: that between two to rename a full file. `watch`: how often it
    is looked whether the file is still there without traffic.
    """

    durable: bool = True
    max_bytes: int | None = None
    checkpoint_interval: float = 60.0
    stall: float = 10.0
    retry: float = 0.5
    rotation_pause: float = 60.0
    watch: float = 1.0


class _Waiting(msgspec.Struct):
    kind: str
    body: bytes
    kept: asyncio.Future[None]


class FileAuditLog:
    """The log at *path*, its checkpoints signed with the key at *key_file*. For the event loop that starts it."""

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
        self._worker = AuditThread("audit")
        self._writer = ChainWriter(
            # Else a rotation would rename a link and leave its file, and go on elsewhere.
            path.resolve(),
            key_file,
            durable=self._options.durable,
            disk=disk or Disk(),
            worker=self._worker,
            clock=clock,
        )
        self._encoder = msgspec.json.Encoder()
        self._logger = structlog.stdlib.get_logger(__name__)
        self._problem = "not started"
        self._cause: Exception | None = None
        self._waiting: list[_Waiting] = []
        self._in_flight: list[_Waiting] = []
        self._bytes = 0
        self._closing = False
        self._moved = self._look_due = self._checkpoint_due = self._recovery_due = False
        self._rotation_paused = False
        self._retry_timer: asyncio.TimerHandle | None = None
        self._checkpoint_timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._wake: asyncio.Event
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """Why no record can be kept now; empty when one can."""
        return self._problem

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep records while the block runs.

        Raises:
            AuditLogError: the log cannot be opened or written, or lines of it are missing.
        """
        self._wake = asyncio.Event()
        self._worker.start()
        try:
            await self._writer.open()
            self._problem = ""
            self._watch()
            self._task = asyncio.create_task(self._work())
            yield
        finally:
            await self._stop()

    async def append(self, record: AuditRecord) -> None:
        """Keep *record*; see `AuditLog.append`."""
        await self._keep("rpc", encode_record(record))

    async def note(self, kind: str, fields: Mapping[str, object]) -> None:
        """Keep a line about no single RPC; see `AuditLog.note`."""
        await self._keep(kind, self._encoder.encode({"time": time_text(self._clock()), **fields}))

    def reopen(self) -> None:
        """Go on in a new file if somebody has moved this one: what SIGHUP is for."""
        self._look_due = True
        if self._task is not None:
            self._wake.set()

    def _watch(self) -> None:
        self.reopen()
        self._watch_timer = asyncio.get_running_loop().call_later(self._options.watch, self._watch)

    async def _keep(self, kind: str, body: bytes) -> None:
        if self._problem or self._closing or self._bytes + len(body) > MAX_WAITING:
            raise UnavailableError.audit() from self._cause
        self._bytes += len(body)
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(kind, body, kept))
        self._wake.set()
        await kept

    async def _work(self) -> None:
        while not self._closing or (self._waiting and not self._problem):
            await self._wake.wait()
            self._wake.clear()
            # Whatever goes wrong here, nobody may wait forever, and the next turn tries to recover.
            try:
                await self._turn()
            except Exception as error:  # noqa: BLE001 - _fail logs it and raises it to every call that waits; let out, it would end this task, and they would wait for ever
                self._fail(error)

    async def _turn(self) -> None:
        timer = asyncio.get_running_loop().call_later(self._options.stall, self._fail, TimeoutError("the disk hangs"))
        try:
            if not self._problem:
                await self._write()
            elif self._recovery_due and not self._closing:
                # Whatever else wakes the writer, such as its look at the file, does not make this more often.
                self._recovery_due = False
                await self._writer.recover(self._problem)
                self._recovered()
        finally:
            timer.cancel()
        self._set_checkpoint_timer()

    async def _write(self) -> None:
        if self._look_due:
            self._look_due = False
            self._moved = await self._writer.was_moved()
        due, self._checkpoint_due = self._checkpoint_due and self._writer.uncovered > 0, False
        self._in_flight, self._waiting, self._bytes = self._waiting, [], 0
        if self._in_flight or due:
            lines = [(each.kind, each.body) for each in self._in_flight]
            self._moved |= await self._writer.write(lines, checkpoint=due, kept=self._tell_kept)
        if self._moved:
            await self._writer.rotate()
            self._moved = False
        limit = self._options.max_bytes
        if limit is not None and self._writer.size >= limit and not self._rotation_paused:
            await self._rotate_full()

    async def _rotate_full(self) -> None:
        """Begin a new file; where the full one cannot get another name it is written on, and that is tried again."""
        try:
            await self._writer.rotate()
        except NotRenamedError as error:
            self._rotation_paused = True
            asyncio.get_running_loop().call_later(self._options.rotation_pause, self._resume_rotation)
            self._logger.warning("audit.not_rotated", cause=_text(error), errno=error.errno)

    def _resume_rotation(self) -> None:
        self._rotation_paused = False

    def _tell_kept(self) -> None:
        for each in self._in_flight:
            if not each.kept.done():
                each.kept.set_result(None)
        self._in_flight = []

    def _fail(self, error: Exception) -> None:
        """Tell all that wait, and turn away who comes, until the log has recovered."""
        first = not self._problem
        self._problem = _text(error)
        self._cause = error
        for each in (*self._in_flight, *self._waiting):
            if not each.kept.done():
                failure = UnavailableError.audit()
                failure.__cause__ = error
                each.kept.set_exception(failure)
        self._in_flight, self._waiting, self._bytes = [], [], 0
        if first:
            self._logger.error("audit.unavailable", cause=self._problem, errno=getattr(error, "errno", None))
        if self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(self._options.retry, self._on_retry)

    def _on_retry(self) -> None:
        self._retry_timer = None
        self._recovery_due = True
        self._wake.set()

    def _recovered(self) -> None:
        self._problem, self._cause = "", None
        self._moved = False
        self._wake.set()

    def _set_checkpoint_timer(self) -> None:
        if not self._writer.uncovered:
            if self._checkpoint_timer is not None:
                self._checkpoint_timer.cancel()
                self._checkpoint_timer = None
        elif self._checkpoint_timer is None:
            loop = asyncio.get_running_loop()
            self._checkpoint_timer = loop.call_later(self._options.checkpoint_interval, self._on_checkpoint_due)

    def _on_checkpoint_due(self) -> None:
        self._checkpoint_timer = None
        self._checkpoint_due = True
        self._wake.set()

    async def _stop(self) -> None:
        """Keep what waits, end the log and close it, no longer than a disk may take twice."""
        self._closing = True
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
        self._problem = self._problem or "closed"
        self._worker.stop()

    async def _end(self) -> None:
        if self._task is not None:
            await self._task
            problem = self._problem or await self._write_end()
            if problem:
                self._logger.error("audit.not_ended", cause=problem)
        await self._writer.close()

    async def _write_end(self) -> str:
        """End the log; why that could not be done, or nothing."""
        try:
            await self._writer.end()
        except OSError as error:
            return _text(error)
        return ""


def _text(error: BaseException) -> str:
    """The cause in words for operators: what the operating system says, or the kind of error where it is a bug."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return type(error).__name__
