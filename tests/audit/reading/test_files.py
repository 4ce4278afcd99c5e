"""The files of a log are read in their order, compressed or not."""

from __future__ import annotations

import gzip
import shutil

from pathlib import Path

import pytest

from tests.audit.reading.conftest import Log, place
from tokenauthority.audit.reading.verify import verify_log


def test_reads_compressed_files(log: Log, tmp_path: Path) -> None:
    """As logrotate leaves them."""
    old, new = tmp_path / "audit.jsonl.1.gz", tmp_path / "audit.jsonl"
    old.write_bytes(gzip.compress(b"".join(log.old)))
    shutil.copy(log.path, new)
    read: list[int] = []
    report = verify_log([new, old], keys=[log.key], trusted=log.trusted, progress=read.append)

    assert (None, True) == (report.bad, report.holds_trusted)
    assert old.stat().st_size + new.stat().st_size == sum(read)


@pytest.mark.parametrize("content", [b"\n", b"canary\n", b"canary", b"{}\n", b"\x00" * 1000, b"[" * 100_000 + b"\n"])
def test_finds_that_a_file_is_not_a_log(log: Log, content: bytes) -> None:
    """Its first line is named."""
    report = log.check(None, content)

    assert ("audit.jsonl", 1) == place(report)
    assert report.bad is not None
    assert "canary" not in report.bad.reason
