"""The verifier finds whatever was done to a log, and names the first line that is not as it was written."""

from __future__ import annotations

import asyncio
import json
import zlib

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.logs import checked, key_path, record, running
from tests.audit.reading.conftest import Log, place
from tokenauthority.audit.chain import Position, chain_line, hash_line
from tokenauthority.audit.checkpoint import Checkpoint
from tokenauthority.audit.keys import AuditKey
from tokenauthority.audit.reading.verify import verify_log


def test_an_unchanged_log_is_intact(log: Log) -> None:
    """Whatever order the files come in; everything is counted."""
    report = log.check(b"".join(log.old), b"".join(log.new))
    kinds = dict(report.kinds)

    assert (None, True) == (report.bad, report.holds_trusted)
    assert (1, len(log.old) + len(log.new)) == (report.first, report.last)
    assert (30, kinds["checkpoint"], 0) == (kinds["rpc"], report.signatures, report.uncovered)


@given(st.data())
def test_finds_any_changed_byte(log: Log, data: st.DataObject) -> None:
    """Any byte of any line changed to any other is found, and at its line."""
    which = data.draw(st.sampled_from(["old", "new"]))
    lines: tuple[bytes, ...] = getattr(log, which)
    number = data.draw(st.integers(0, len(lines) - 1))
    offset = data.draw(st.integers(0, len(lines[number]) - 1))
    changed = bytearray(lines[number])
    changed[offset] = data.draw(st.integers(0, 255).filter(lambda value: value != changed[offset]))
    contents = {"old": b"".join(log.old), "new": b"".join(log.new)}
    contents[which] = b"".join((*lines[:number], bytes(changed), *lines[number + 1 :]))
    report = log.check(contents["old"], contents["new"])

    assert ("audit-1.jsonl" if which == "old" else "audit.jsonl", number + 1) == place(report)


def drop(lines: list[bytes], number: int, _: int) -> int:
    """Without a line: the next stands in its place."""
    del lines[number]
    return number


def double(lines: list[bytes], number: int, _: int) -> int:
    """A line twice, the second time anywhere."""
    other = _ % (len(lines) + 1)
    lines.insert(other, lines[number])
    return other + 1 if other == number else other


def swap(lines: list[bytes], number: int, other: int) -> int:
    """Two lines exchanged."""
    other %= len(lines)
    lines[number], lines[other] = lines[other], lines[number]
    return min(number, other)


@given(st.data())
@pytest.mark.parametrize("mutate", [drop, double, swap])
def test_finds_any_line_out_of_place(
    log: Log, mutate: Callable[[list[bytes], int, int], int], data: st.DataObject
) -> None:
    """Dropped, doubled or exchanged anywhere, also the first and the last: the place is named."""
    lines = list(log.new)
    number = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines)))
    bad = mutate(lines, number, other)
    unchanged = lines == list(log.new)
    report = log.check(b"".join(log.old), b"".join(lines))

    if unchanged:
        assert report.bad is None
    elif bad == 0:
        # The first line says where the file belongs, so that the other file may be the first in a wrong place.
        assert report.bad is not None
    else:
        assert ("audit.jsonl", bad + 1) == place(report)


@given(st.data())
def test_finds_a_cut_tail(log: Log, data: st.DataObject) -> None:
    """Any number of bytes cut off the end shows by the trusted checkpoint: in the torn line, or after the last one."""
    whole = b"".join(log.new)
    left = data.draw(st.integers(0, len(whole) - 1))
    report = log.check(b"".join(log.old), whole[:left])

    assert report.bad is not None
    if left and left > len(log.new[0]):
        assert ("audit.jsonl", whole[:left].count(b"\n") + 1) == place(report)


@pytest.mark.parametrize("missing", ["old", "new"])
def test_finds_a_missing_file(log: Log, missing: str) -> None:
    """The first as well as the last."""
    if missing == "old":
        report = log.check(None, b"".join(log.new))
        reason = f"records 1 to {len(log.old)} are not in these files"
    else:
        report = log.check(None, b"".join(log.old))
        last = len(log.old)
        reason = f"the log ends with record {last}, but its trusted checkpoint is record {last + len(log.new)}"

    assert report.bad is not None
    assert reason in report.bad.reason


def test_verifies_the_later_files_alone_with_partial(log: Log) -> None:
    """Where the earlier ones are stored elsewhere."""
    report = log.check(None, b"".join(log.new), partial=True)

    assert (None, True, len(log.old) + 1) == (report.bad, report.holds_trusted, report.first)


def test_finds_a_tail_that_was_cut_at_a_checkpoint(log: Log) -> None:
    """A shorter log that is whole in itself only shows by its trusted checkpoint."""
    last = max(n for n, line in enumerate(log.old) if b'"checkpoint"' in line[:110])
    shorter = b"".join(log.old[: last + 1])
    with_trusted, without = log.check(None, shorter), log.check(None, shorter, trusted=None)

    assert with_trusted.bad is not None
    assert (None, False) == (without.bad, without.holds_trusted)


def rechained(lines: list[dict[str, object]], position: Position) -> Iterator[bytes]:
    """The lines with numbers, hashes and checksums that fit: what anybody can compute who can write to the file."""
    for line in lines:
        body = {name: value for name, value in line.items() if name not in {"seq", "prev", "type", "crc"}}
        if line["type"] == "checkpoint":
            body.update(count=position.seq, head=position.chain_hash)
        line_bytes, position = chain_line(position, str(line["type"]), json.dumps(body, separators=(",", ":")).encode())
        yield line_bytes + b"\n"


def test_finds_a_log_that_was_rechained(log: Log) -> None:
    """With a record changed and every hash after it made to fit, the signature of the next checkpoint is invalid."""
    lines = [json.loads(line) for line in log.new]
    touched = log.calls[2]
    lines[touched]["caller"] = "somebody-else"
    position = Position(len(log.old), hash_line(log.old[-1].removesuffix(b"\n")))
    forged = list(rechained(lines, position))
    first = next(n for n in range(touched, len(lines)) if lines[n]["type"] == "checkpoint")
    report = log.check(b"".join(log.old), b"".join(forged))
    blind = log.check(b"".join(log.old), b"".join(forged), keys=[], trusted=None)

    assert ("audit.jsonl", first + 1) == place(report)
    assert report.bad is not None
    assert "signature is invalid" in report.bad.reason
    # Without the key and without a trusted checkpoint nobody can see it: that is what they are for.
    assert blind.bad is None


def test_names_the_changed_one_of_two_neighbours(log: Log) -> None:
    """A record that was changed with its checksum made to fit is distinguished from the one after it, which was not."""
    first, second = list(log.new), list(log.new)
    number = log.calls[3]
    prev = json.loads(log.new[number])["prev"].encode()
    first[number] = summed(log.new[number].replace(b"user-7", b"user-8"))
    second[number] = summed(log.new[number].replace(prev, b"0" * 64))

    assert ("audit.jsonl", number + 1) == place(log.check(b"".join(log.old), b"".join(first)))
    assert ("audit.jsonl", number + 1) == place(log.check(b"".join(log.old), b"".join(second)))


def summed(line: bytes) -> bytes:
    """The line with a checksum that fits it."""
    content = line[: -len(b',"crc":"00000000"}\n')]
    return content + b',"crc":"%08x"}\n' % zlib.crc32(content)


@pytest.mark.parametrize("from_end", [1, 2])
def test_names_a_changed_record_at_the_end(log: Log, from_end: int) -> None:
    """Where no checkpoint follows yet, a damaged line still shows by its checksum."""
    lines = list(log.new[: log.calls[5]])
    lines[-from_end] = lines[-from_end].replace(b"user-7", b"user-8")
    report = log.check(b"".join(log.old), b"".join(lines), trusted=None)

    assert ("audit.jsonl", len(lines) + 1 - from_end) == place(report)


def test_a_checkpoint_must_be_signed_by_a_given_key(log: Log) -> None:
    """Neither another key nor a checkpoint that another key signed is accepted."""
    stranger = Ed25519PrivateKey.generate()
    unknown = log.check(b"".join(log.old), b"".join(log.new), keys=[stranger.public_key()], trusted=None)
    position = Position(len(log.old), hash_line(log.old[-1].removesuffix(b"\n")))
    forged = AuditKey(stranger).sign_checkpoint(position, time="x", log_id=log.trusted.log_id, reason="stop")
    renamed = body_of(forged, key_id=log.trusted.key_id)
    line, _ = chain_line(position, "checkpoint", renamed)
    report = log.check(b"".join((*log.old, line + b"\n")), b"", trusted=None)

    assert ("audit-1.jsonl", 2) == place(unknown)
    assert ("audit-1.jsonl", len(log.old) + 1) == place(report)


def body_of(checkpoint: Checkpoint, **changes: str) -> bytes:
    """The checkpoint's fields with *changes*, as a line's body."""
    return msgspec.json.encode(msgspec.structs.replace(checkpoint, **changes))


def test_finds_the_file_of_another_log(log: Log, tmp_path: Path) -> None:
    """Two logs are not one chain, even where the numbers fit."""

    async def another() -> None:
        async with running(tmp_path / "audit.jsonl"):
            pass

    asyncio.run(another())
    other = (tmp_path / "audit.jsonl").read_bytes()
    report = log.check(b"".join(log.old), other, trusted=None)
    by_trusted = log.check(None, other)

    assert report.bad is not None
    assert by_trusted.bad is not None
    assert "its log is another than that of the trusted checkpoint" == by_trusted.bad.reason


def line_after(log: Log, kind: str, body: dict[str, object]) -> bytes:
    """The line that would come after the older file."""
    position = Position(len(log.old), hash_line(log.old[-1].removesuffix(b"\n")))
    line, _ = chain_line(position, kind, json.dumps(body, separators=(",", ":")).encode())
    return line + b"\n"


def test_finds_a_file_of_another_log_that_fits_the_chain(log: Log) -> None:
    """The id of the log counts, also where number and hash fit."""
    report = log.check(b"".join(log.old), line_after(log, "continued", {"log_id": "another"}), trusted=None)

    assert ("audit.jsonl", 1) == place(report)
    assert report.bad is not None
    assert "belongs to another log" in report.bad.reason


@pytest.mark.parametrize("changes", [{"count": 3}, {"head": "0" * 64}, {"log_id": "another"}])
def test_finds_a_checkpoint_of_another_place(log: Log, changes: dict[str, object]) -> None:
    """Also without the key: what it says must be true where it stands."""
    last = json.loads(log.old[-1])
    body = {name: last[name] for name in Checkpoint.__struct_encode_fields__}
    body.update(count=len(log.old), head=hash_line(log.old[-1].removesuffix(b"\n")))
    valid = log.check(b"".join((*log.old, line_after(log, "checkpoint", body))), b"", keys=[], trusted=None)
    report = log.check(
        b"".join((*log.old, line_after(log, "checkpoint", {**body, **changes}))), b"", keys=[], trusted=None
    )

    assert valid.bad is None
    assert ("audit-1.jsonl", len(log.old) + 1) == place(report)


def test_finds_another_checkpoint_in_the_place_of_the_trusted_one(log: Log) -> None:
    """Two logs that were one up to there are two."""
    other = msgspec.structs.replace(log.trusted, time="x")
    report = log.check(b"".join(log.old), b"".join(log.new), trusted=other)

    assert ("audit.jsonl", len(log.new)) == place(report)


@pytest.mark.parametrize("name", ["seq", "prev", "type"])
def test_finds_a_repeated_name(log: Log, name: str) -> None:
    """Two readers of JSON could find two values in the same bytes."""
    line = line_after(log, "rpc", {"time": "x", name: json.loads(log.old[0])[name] if name != "type" else "other"})
    report = log.check(b"".join((*log.old, line)), b"", trusted=None)

    assert ("audit-1.jsonl", len(log.old) + 1) == place(report)


def test_counts_what_no_checkpoint_covers_yet(log: Log) -> None:
    """Of a log whose server was killed."""
    report = log.check(b"".join(log.old), b"".join(log.new[:8]), trusted=None)
    covered = max(n for n in range(8) if b'"type":"checkpoint"' in log.new[n])

    assert (None, 7 - covered) == (report.bad, report.uncovered)


def test_an_empty_log_is_cut_off_where_it_has_a_trusted_checkpoint(log: Log) -> None:
    """It is intact where neither that nor a key says that there must be lines."""
    unchecked = log.check(None, b"", trusted=None, keys=[])

    assert (None, 0) == (unchecked.bad, unchecked.last)
    assert log.check(None, b"").bad is not None


async def test_a_log_that_is_being_written_verifies(tmp_path: Path) -> None:
    """At any moment between two calls."""
    path = tmp_path / "audit.jsonl"
    async with running(path) as written:
        for number in range(20):
            await written.append(record(number))

            assert checked(path).bad is None
    assert key_path(path).exists()


@pytest.mark.parametrize(
    ("kinds", "number"),
    [(("start", *["rpc"] * 5, "stop"), 2), (("start", "start"), 3), ((), 1)],
    ids=["without checkpoints", "of starts alone", "empty"],
)
def test_finds_a_log_that_was_rewritten_without_the_key(
    log: Log, tmp_path: Path, kinds: tuple[str, ...], number: int
) -> None:
    """Who has no key leaves the checkpoints out, and the checkpoint file too."""
    position, written = Position(), []
    for kind in kinds:
        body = json.dumps(
            {"log_id": "forged", "count": position.seq, "head": position.chain_hash}, separators=(",", ":")
        )
        line, position = chain_line(position, kind, body.encode())
        written.append(line + b"\n")
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(written))
    report = verify_log([path], keys=[log.key])

    assert report.bad is not None
    assert number == report.bad.line
