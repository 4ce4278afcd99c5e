"""`tokenauthority audit` checks and shows logs without any authority."""

from __future__ import annotations

import json
import shutil

from pathlib import Path

import pytest

from tests.audit.logs import RECORD, changed, record, text_lines, written
from tests.cli.conftest import Run
from tests.support.logs import capture_logs
from tokenauthority.audit.keys import AuditKey


NO_KEY = "intact, signatures not checked (--public-key FILE)"
NO_TRUSTED = "intact, but without a trusted checkpoint: a tail that was cut off would not show (--anchor FILE)"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of three records that ended in order."""
    path = tmp_path / "audit.jsonl"
    with capture_logs():
        written(path, record(1), record(2, code="OK", reason="", token_ids=("wanted",)), record(3))
    return path


@pytest.fixture
def key(log: Path) -> str:
    """The public key's file."""
    return str(log.with_name("audit-key.pub.pem"))


def test_says_that_a_log_is_intact(run_alone: Run, log: Path, key: str) -> None:
    """How many records, which checkpoint, what was checked, and what is not covered; exit code 0."""
    outcome = run_alone("audit", "verify", str(log), "--public-key", key)
    as_json = run_alone("audit", "verify", str(log), "--public-key", key, "--json").json

    assert (0, "") == (outcome.exit_code, outcome.err)
    assert "intact" in outcome.out
    assert {
        "result": "intact",
        "bad": None,
        "files": [str(log)],
        "first_record": 1,
        "last_record": 7,
        "records": 7,
        "types": {"checkpoint": 2, "rpc": 3, "start": 1, "stop": 1},
        "signatures": 2,
        "last_checkpoint": 7,
        "after_last_checkpoint": 0,
        "anchor": f"{log}.head",
        "remarks": [],
    } == {name: value for name, value in as_json.items() if name not in {"log_id", "last_checkpoint_time"}}


def test_names_the_first_invalid_line(run_alone: Run, log: Path) -> None:
    """With file, line and why, on standard error too, and an exit code of its own."""
    log.write_bytes(log.read_bytes().replace(b'"call-2"', b'"call-9"'))
    outcome = run_alone("audit", "verify", str(log), "--json")

    assert 5 == outcome.exit_code
    assert f"error: {log}:4: it was changed or damaged" in outcome.err
    assert ("not intact", 4) == (outcome.json["result"], outcome.json["bad"]["line"])  # type: ignore[index]  # an object


def test_finds_a_cut_tail_by_any_trusted_checkpoint(run_alone: Run, log: Path, tmp_path: Path) -> None:
    """The checkpoint file, a copy of it elsewhere and the operational log each show it."""
    head = log.with_name("audit.jsonl.head")
    copy = shutil.copy(head, tmp_path / "copy")
    event = {"event": "audit.checkpoint", "level": "info", **json.loads(head.read_text())}
    operational = tmp_path / "operational.log"
    operational.write_text('{"event":"server.started"}\n' + json.dumps(event) + "\nno json\n")
    lines = text_lines(log)
    log.write_text("".join(f"{line}\n" for line in lines[:2]))
    by_head = run_alone("audit", "verify", str(log))
    head.unlink()
    outcomes = [run_alone("audit", "verify", str(log), "--anchor", str(file)) for file in (copy, operational)]
    without = run_alone("audit", "verify", str(log), "--json")

    assert [5, 5, 5] == [outcome.exit_code for outcome in (by_head, *outcomes)]
    assert all("records 3 to 7 are cut off" in outcome.err for outcome in (by_head, *outcomes))
    assert (0, "none: a tail that was cut off would not show") == (without.exit_code, without.json["anchor"])
    assert NO_TRUSTED + "; " + NO_KEY.removeprefix("intact, ") == without.json["result"]


def rotated(path: Path) -> tuple[Path, Path]:
    """Rotate a log; return its older file, and the one that is written."""
    older = path.rename(path.with_name("audit-1.jsonl"))
    with capture_logs():
        written(path, record(4))
    return older, path


def test_says_no_more_than_was_checked(run_alone: Run, log: Path, key: str) -> None:
    """Without a trusted checkpoint, or without the key, a log is not simply intact."""
    unsigned = run_alone("audit", "verify", str(log), "--json")
    log.with_name("audit.jsonl.head").unlink()
    untrusted = run_alone("audit", "verify", str(log), "--public-key", key, "--json")

    assert (0, NO_KEY) == (unsigned.exit_code, unsigned.json["result"])
    assert (0, NO_TRUSTED) == (untrusted.exit_code, untrusted.json["result"])


def test_finds_a_deleted_file_by_its_checkpoint_file(run_alone: Run, log: Path, tmp_path: Path) -> None:
    """Every checkpoint file of the log counts, whatever files are named; those of other logs beside it do not."""
    older, newer = rotated(log)
    with capture_logs():
        written(tmp_path / "other.jsonl", *map(record, range(20)))
    (tmp_path / "canary.head").write_text("canary")
    both = run_alone("audit", "verify", str(older), str(newer), "--json")
    newer.unlink()
    outcome = run_alone("audit", "verify", str(older), "--json")

    assert (0, f"{log}.head") == (both.exit_code, both.json["anchor"])
    assert f"{tmp_path / 'canary.head'}: skipped, as no checkpoint can be read from it\n" == both.err
    assert 5 == outcome.exit_code
    assert "the log ends with record 7, but its trusted checkpoint is record 12" in outcome.err
    assert f"{log}.head: not in these files" == outcome.json["anchor"]


def test_a_log_in_the_place_of_another_is_found(run_alone: Run, log: Path, tmp_path: Path) -> None:
    """The checkpoint file of its name counts, although its own is there too."""
    other = tmp_path / "other.jsonl"
    with capture_logs():
        written(other, *map(record, range(20)))
    shutil.copy(other, log)
    outcome = run_alone("audit", "verify", str(log))

    assert 5 == outcome.exit_code
    assert "its log is another than that of the trusted checkpoint" in outcome.err


def test_says_that_the_trusted_checkpoint_was_not_reached(run_alone: Run, log: Path) -> None:
    """Where verification stopped before it, nobody knows whether it is there."""
    log.write_bytes(log.read_bytes().replace(b'"call-2"', b'"call-9"'))

    assert f"{log}.head: not reached" == run_alone("audit", "verify", str(log), "--json").json["anchor"]


def test_skips_the_files_that_belong_to_a_log(run_alone: Run, log: Path, key: str) -> None:
    """A pattern such as audit.jsonl* matches its checkpoint file and quarantined bytes; that is no false alarm."""
    with log.open("a") as file:
        file.write('{"seq":8,"pre')
    with capture_logs():
        written(log, record(4))
    files = sorted(map(str, log.parent.glob("audit.jsonl*")))
    outcome = run_alone("audit", "verify", *files, "--public-key", key, "--json")
    alone = run_alone("audit", "verify", f"{log}.head")

    assert 3 == len(files)
    assert (0, "intact", [str(log)]) == (outcome.exit_code, outcome.json["result"], outcome.json["files"])
    assert [f"{name}: skipped, as it belongs to a log and is not one" for name in files[1:]] == outcome.err.splitlines()
    assert 2 == alone.exit_code
    assert "none of these files is an audit log" in alone.err


@pytest.mark.parametrize("content", ["canary\n", "{}\n{}\n", "\n"])
@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_file_of_another_kind_is_no_sign_of_tampering(
    run_alone: Run, log: Path, tmp_path: Path, command: str, content: str
) -> None:
    """It was named by mistake; a log whose first line is damaged is still recognized as one."""
    stranger = tmp_path / "stranger"
    stranger.write_text(content)
    outcome = run_alone("audit", command, str(log), str(stranger))
    log.write_bytes(b"x" + log.read_bytes())

    assert (1, f"error: {stranger} is not an audit log\n") == (outcome.exit_code, outcome.err)
    assert 5 == run_alone("audit", "verify", str(log)).exit_code


def test_names_the_keys_where_another_was_given(run_alone: Run, log: Path, tmp_path: Path) -> None:
    """Whether the trusted checkpoint shows it or, where there is none, the log's first checkpoint."""
    own = json.loads(text_lines(log)[1])["key_id"]
    other = AuditKey.load_or_create(tmp_path / "other.pem").key_id
    by_trusted = run_alone("audit", "verify", str(log), "--public-key", str(tmp_path / "other.pub.pem"))
    log.with_name("audit.jsonl.head").unlink()
    by_line = run_alone("audit", "verify", str(log), "--public-key", str(tmp_path / "other.pub.pem"))
    text = f"the checkpoint is signed by key {own}, and you gave {other}: another key, or not the authority's log"

    assert (5, f"error: {log}.head: {text}\n") == (by_trusted.exit_code, by_trusted.err)
    assert (5, f"error: {log}:2: {text}\n") == (by_line.exit_code, by_line.err)


@pytest.mark.parametrize("content", ["", "canary", "{}"])
def test_refuses_an_invalid_trusted_checkpoint(run_alone: Run, log: Path, content: str) -> None:
    """Else a log without its trusted checkpoint would pass for one with it."""
    log.with_name("audit.jsonl.head").write_text(content)
    outcome = run_alone("audit", "verify", str(log))

    assert (5, f"error: {log}.head: it holds no checkpoint; of an operational log, only lines in JSON are read\n") == (
        outcome.exit_code,
        outcome.err,
    )


def test_refuses_a_forged_trusted_checkpoint(run_alone: Run, log: Path, key: str) -> None:
    """Where a key is given, the signature is verified first."""
    head = log.with_name("audit.jsonl.head")
    head.write_text(head.read_text().replace('"count":6', '"count":1'))
    outcome = run_alone("audit", "verify", str(log), "--public-key", key)

    assert 5 == outcome.exit_code
    assert "the signature of the checkpoint is invalid" in outcome.err


@pytest.mark.parametrize("name", ["audit-key.pem", "audit.jsonl"])
def test_refuses_an_invalid_key(run_alone: Run, log: Path, name: str) -> None:
    """Also the private key, which auditors must not have."""
    outcome = run_alone("audit", "verify", str(log), "--public-key", str(log.with_name(name)))

    assert 1 == outcome.exit_code
    assert f"{name} holds no Ed25519 public key in PEM" in outcome.err


def test_refuses_a_cut_off_archive(run_alone: Run, log: Path, tmp_path: Path) -> None:
    """A compressed file that ends too early is not as it was written either."""
    import gzip  # noqa: PLC0415 - for this test alone

    archive = tmp_path / "other.gz"
    archive.write_bytes(gzip.compress(log.read_bytes())[:-20])
    outcome = run_alone("audit", "verify", str(archive))

    assert 5 == outcome.exit_code
    assert "a compressed file is cut off or damaged" in outcome.err


def test_requires_existing_files(run_alone: Run, tmp_path: Path) -> None:
    """The command line is wrong otherwise."""
    assert 2 == run_alone("audit", "verify").exit_code
    assert 2 == run_alone("audit", "verify", str(tmp_path / "none")).exit_code


def test_shows_records_to_a_person(run_alone: Run, log: Path) -> None:
    """A row for each, with what matters; what others chose cannot move the cursor."""
    with capture_logs():
        written(log, changed(RECORD, request_id="evil", role="\x1b[31mred"))
    lines = run_alone("audit", "show", str(log), "--method", "GenerateToken").out.splitlines()

    assert ["seq", "time", "outcome", "method", "caller", "project", "session", "role", "tokens"] == lines[0].split()
    assert 5 == len(lines)
    assert "PERMISSION_DENIED ROLE_NOT_GRANTED" in lines[1]
    assert "wanted" in lines[2]
    assert "\\x1b[31mred" in lines[4]


def test_shows_records_to_a_program(run_alone: Run, log: Path) -> None:
    """As they stand in the log."""
    rows = run_alone("audit", "show", str(log), "--token-id", "wanted", "--json").rows

    assert [json.loads(text_lines(log)[3])] == rows


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--outcome", "OK"], [4]),
        (["--caller", "room-service", "--limit", "2"], [4, 5]),
        (["--session", "2_abc", "--limit", "0"], [3, 4, 5]),
        (["--project", "1"], []),
        (["--request-id", "call-2"], [4]),
        (["--trace-id", "b" * 32], []),
        (["--since", "2023-11-14T22:13:20Z", "--until", "2023-11-14T22:13:21Z"], [3, 4, 5]),
        (["--until", "1700000000"], []),
    ],
)
def test_shows_what_was_asked_for(run_alone: Run, log: Path, arguments: list[str], wanted: list[int]) -> None:
    """By caller, session, project, time and outcome; the newest so many."""
    rows = run_alone("audit", "show", str(log), *arguments, "--json").rows

    assert wanted == [row["seq"] for row in rows]


def test_shows_several_files_in_their_order(run_alone: Run, log: Path, tmp_path: Path) -> None:
    """Whatever order they are given in."""
    moved = log.rename(tmp_path / "audit.jsonl.1")
    with capture_logs():
        written(log, record(4))
    rows = run_alone("audit", "show", str(log), str(moved), "--json", "--method", "GenerateToken").rows

    assert ["call-1", "call-2", "call-3", "call-4"] == [row["request_id"] for row in rows]


def test_merges_the_logs_of_several_servers_by_time(run_alone: Run, tmp_path: Path) -> None:
    """Each begins with line 1, and its own order is that of its lines."""
    with capture_logs():
        for name, minutes in (("one", (1, 4)), ("other", (2, 3))):
            calls = [record(minute, time=f"2026-11-24T15:0{minute}:00.000Z") for minute in minutes]
            written(tmp_path / name / "audit.jsonl", *calls)
    logs = [str(tmp_path / name / "audit.jsonl") for name in ("other", "one")]
    rows = run_alone("audit", "show", *logs, "--json", "--method", "GenerateToken").rows

    assert ["call-1", "call-2", "call-3", "call-4"] == [row["request_id"] for row in rows]


def test_reports_records_that_it_leaves_out(run_alone: Run, log: Path) -> None:
    """On standard error: that older records were left out, or that there are none."""
    cut = run_alone("audit", "show", str(log), "--limit", "2", "--json")
    whole = run_alone("audit", "show", str(log), "--limit", "5")
    none = run_alone("audit", "show", str(log), "--caller", "nobody", "--json")

    assert (2, "3 older ones not shown: --limit 0\n") == (len(cut.rows), cut.err)
    assert "" == whole.err
    assert ([], "no records\n") == (none.rows, none.err)


def test_refuses_an_unknown_outcome(run_alone: Run, log: Path) -> None:
    """Else a typing error would look as if nothing had happened."""
    outcome = run_alone("audit", "show", str(log), "--outcome", "PERMISION_DENIED")

    assert 2 == outcome.exit_code
    assert "'PERMISION_DENIED' is neither a gRPC status nor a reason" in outcome.err
    for there_is in ("role_not_granted", "REVOKED", "OPENED", "NOT_DELIVERED"):
        assert 0 == run_alone("audit", "show", str(log), "--outcome", there_is).exit_code


def test_shows_where_a_call_without_a_caller_came_from(run_alone: Run, log: Path) -> None:
    """The address stands in the place of the caller."""
    with capture_logs():
        written(log, record(4, caller="", peer="ipv4:10.0.0.1:1"))
    lines = run_alone("audit", "show", str(log), "--request-id", "call-4").out.splitlines()

    assert 2 == len(lines)
    assert "ipv4:10.0.0.1:1" in lines[1]


@pytest.mark.parametrize("command", ["verify", "show"])
@pytest.mark.parametrize("ending", ["xz", "bz2", "zst"])
def test_names_what_is_compressed_in_another_way(
    run_alone: Run, log: Path, tmp_path: Path, command: str, ending: str
) -> None:
    """It is a log all the same, so the error says what to do."""
    archive = tmp_path / f"audit.jsonl.1.{ending}"
    archive.write_bytes(log.read_bytes())
    refused = run_alone("audit", command, str(archive))

    assert 1 == refused.exit_code
    assert f"error: {archive} is compressed in another way than gzip: decompress it first\n" == refused.err


HOSTILE_RECORDS = [
    '{"seq":1,"type":"rpc","time":"2026-01-01T00:00:00"}',
    '{"seq":1,"type":"rpc","time":"9999-99-99T00:00:00Z"}',
    '{"seq":1,"type":"rpc","time":"0001-01-01T00:00:00+14:00"}',
    '{"seq":1,"type":"rpc","more":' + "9" * 6000 + "}",
    '{"seq":1,"type":"rpc","more":1e999}',
    '{"seq":1,"type":"rpc","more":' + "[" * 900 + "]" * 900 + "}",
    '{"seq":1,"type":"rpc","role":"\\ud800\\u001b"}',
    '{"seq":1,"type":"rpc","seq":2}',
]


@pytest.mark.parametrize("options", [[], ["--json"], ["--since", "1700000000"], ["--until", "9999-12-31T23:59:59Z"]])
def test_any_record_is_shown_or_passed_over(run_alone: Run, tmp_path: Path, options: list[str]) -> None:
    """Who can write to the log must not stop its reader."""
    log = tmp_path / "audit.jsonl"
    log.write_text("".join(f"{line}\n" for line in HOSTILE_RECORDS))
    shown = run_alone("audit", "show", str(log), *options)

    assert 0 == shown.exit_code
    assert "\x1b" not in shown.out
    if options == ["--json"]:
        assert json.loads(shown.out, parse_constant=pytest.fail)
