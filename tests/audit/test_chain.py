"""Each line holds its number and the hash of the line before it."""

from __future__ import annotations

import json
import shlex
import subprocess

from hashlib import sha256
from pathlib import Path

import pytest

from tests.audit.logs import RECORD, objects, written
from tokenauthority.audit.chain import Position, chain_line, parse_link


def test_every_line_holds_the_hash_of_the_one_before(path: Path) -> None:
    """Numbers grow by one from 1, and `prev` is the SHA-256 of the bytes before the newline, also over a restart."""
    written(path, RECORD, RECORD)
    lines = written(path, RECORD)
    parsed = [json.loads(line) for line in lines]

    assert list(range(1, len(lines) + 1)) == [line["seq"] for line in parsed]
    assert ["0" * 64, *(sha256(line.encode()).hexdigest() for line in lines[:-1])] == [line["prev"] for line in parsed]
    assert ["start", "checkpoint", "rpc", "rpc", "stop", "checkpoint", "start", "checkpoint", "rpc", "stop"] == [
        line["type"] for line in parsed[:-1]
    ]
    assert 1 == len({line["log_id"] for line in parsed if "log_id" in line})


def test_the_hash_is_what_any_tool_computes(path: Path) -> None:
    """`head -n 1 | head -c -1 | sha256sum` of a line gives the `prev` of the next."""
    written(path, RECORD)
    command = f"head -n 1 {shlex.quote(str(path))} | head -c -1 | sha256sum"
    printed = subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, text=True).stdout

    assert printed.split()[0] == objects(path)[1]["prev"]


@pytest.mark.parametrize("body", [{}, {"time": 1}, {"time": 1, "tokens": [{"token_id": "a"}]}])
def test_a_line_is_the_object_with_what_chains_it(body: dict[str, object]) -> None:
    """Also an object without members; its checksum holds."""
    line, after = chain_line(Position(7, "a" * 64), "rpc", json.dumps(body).encode())
    written_object = json.loads(line)

    assert 8 == parse_link(line).seq == after.seq
    assert {"seq": 8, "prev": "a" * 64, "type": "rpc", **body, "crc": written_object["crc"]} == written_object
