"""The file format never changes: a server writes, byte for byte, what the first version wrote."""

from __future__ import annotations

import asyncio

from pathlib import Path

import pytest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.audit.logs import RECORD, changed, key_path, running
from tokenauthority.audit.checkpoint import last_checkpoint
from tokenauthority.audit.reading.files import read_lines
from tokenauthority.audit.reading.selection import Selection, select_records
from tokenauthority.audit.reading.verify import verify_log
from tokenauthority.audit.record import AuditedToken, AuditRecord
from tokenauthority.audit.writing.log import LogOptions
from tokenauthority.domain.times import Millis


GOLDEN = Path(__file__).with_name("golden") / "audit.jsonl"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

# Fields that came later are empty here, and an empty field leaves no trace.
FIRST = changed(RECORD, credential_problem="", transport="", platform_url="", trace_id="")

RECORDS = (
    FIRST,
    AuditRecord(time="2023-11-14T22:14:20.000Z", request_id="bare", method="/x.Y/Other", peer="p", code="OK"),
    AuditRecord(time="2023-11-14T22:14:20.001Z", request_id="local", method="/x.Y/Other", peer="", code="OK"),
    changed(FIRST, request_id="odd", subject="caf\u00e9 \u2028\x85\u202e \U0001f600", comment='\x1b"\\\n\x7f'),
    changed(
        FIRST,
        request_id="batch",
        token_ids=("inside",),
        tokens=(AuditedToken("inside", "48", "2_inside", "subscriber", "OPENTOK_T1", 60, ""),),
        items=1,
        lifetime=None,
        changes=(),
        code="OK",
        reason="",
    ),
)


@pytest.fixture
def path_of_known_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with a fixed id and key, so that nothing in it is random."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "5e" * count)
    path = tmp_path / "audit.jsonl"
    key_path(path).write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_writes_the_bytes_of_the_golden_log(path_of_known_log: Path) -> None:
    """Names, their order, what is left out, escapes, hashes, check sums and signatures: nothing has changed."""

    async def write() -> None:
        async with running(path_of_known_log, LogOptions(watch=60), clock=lambda: Millis(1_700_000_000_000)) as log:
            for record in RECORDS:
                await log.append(record)
            await log.note("summary", {"peer": "ip:10.0.0.1", "count": 2, "codes": {"UNAUTHENTICATED": 2}})

    asyncio.run(write())

    assert GOLDEN.read_bytes().splitlines() == path_of_known_log.read_bytes().splitlines()
    assert GOLDEN.read_bytes() == path_of_known_log.read_bytes()
    assert (
        GOLDEN.with_name("audit.jsonl.head").read_bytes()
        == path_of_known_log.with_name("audit.jsonl.head").read_bytes()
    )


def test_the_golden_log_verifies() -> None:
    """A log of the first version is intact, with its key and its last checkpoint."""
    report = verify_log(
        [GOLDEN], keys=[KEY.public_key()], trusted=last_checkpoint(GOLDEN.with_name("audit.jsonl.head"))
    )

    assert (None, True, 5, 2) == (report.bad, report.holds_trusted, report.kinds["rpc"], report.signatures)


def test_the_golden_log_is_read() -> None:
    """Reading finds every record of it, with its tokens."""
    found = [entry for _, entry in select_records(read_lines([GOLDEN]), Selection())]

    assert [record.request_id for record in RECORDS] == [entry.request_id for entry in found if entry.type == "rpc"]
    assert ["inside"] == [token.token_id for token in found[5].tokens]
