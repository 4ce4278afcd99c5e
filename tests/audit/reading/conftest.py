"""A log of two files that ended in order, and what the verifier finds in it."""

from __future__ import annotations

import asyncio
import json

from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.audit.logs import record, running
from tokenauthority.audit.checkpoint import Checkpoint, CheckpointFile
from tokenauthority.audit.keys import load_public_key
from tokenauthority.audit.reading.report import Report
from tokenauthority.audit.reading.verify import verify_log
from tokenauthority.audit.writing.log import LogOptions


@attrs.frozen(kw_only=True)
class Log:
    """A log that ended in order, in two files, of which the second has the checkpoint file."""

    directory: Path
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    key: Ed25519PublicKey
    trusted: Checkpoint

    @property
    def calls(self) -> list[int]:
        """Which lines of the newer file, from 0, are records of RPCs."""
        return [number for number, line in enumerate(self.new) if json.loads(line)["type"] == "rpc"]

    @property
    def path(self) -> Path:
        """The newer file."""
        return self.directory / "audit.jsonl"

    def check(self, old: bytes | None, new: bytes, **options: object) -> Report:
        """What the verifier says to these contents of the files."""
        with TemporaryDirectory() as name:
            paths = [Path(name, "audit.jsonl"), *([Path(name, "audit-1.jsonl")] if old is not None else [])]
            for path, content in zip(paths, (new, old), strict=False):
                path.write_bytes(content or b"")
            given: dict[str, object] = {"keys": [self.key], "trusted": self.trusted, **options}
            return verify_log(paths, **given)  # type: ignore[arg-type]  # as given


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """30 records, with checkpoints before, between and after them."""
    directory = tmp_path_factory.mktemp("log")
    path = directory / "audit.jsonl"

    async def write() -> None:
        for begin in (0, 10, 20):
            async with running(path, LogOptions(watch=60)) as written:
                for number in range(begin, begin + 10):
                    await written.append(record(number))
                if begin == 10:
                    path.rename(directory / "audit-1.jsonl")
                    written.reopen()

    asyncio.run(write())
    stored = CheckpointFile(path).read_checkpoint()
    assert stored is not None
    return Log(
        directory=directory,
        old=tuple((directory / "audit-1.jsonl").read_bytes().splitlines(keepends=True)),
        new=tuple(path.read_bytes().splitlines(keepends=True)),
        key=load_public_key(directory / "audit-key.pub.pem"),
        trusted=stored[1],
    )


def place(report: Report) -> tuple[str, int] | None:
    """Return the file and the line number of the invalid line."""
    bad = report.bad
    return None if bad is None else (bad.file.name if bad.file else "", bad.line)
