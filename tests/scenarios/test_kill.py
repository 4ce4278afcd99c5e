"""Killed at any moment, also on a full disk: whoever holds a token finds it in the log, and the log verifies."""

from __future__ import annotations

import json
import random
import shutil
import subprocess

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import attrs
import grpc
import pytest

from tests.audit.logs import checked, fill, objects, small_disk, text_lines
from tests.support import forkserver
from tests.support.authority import WAIT, clean_environment, eventually
from tests.support.forkserver import ForkedProcess
from tests.support.wire import GENERATE, V1, Wire
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.v1 import session_pb2, token_pb2


LIVES = 17
LIVES_ON_A_SMALL_DISK = 10
several_times = pytest.mark.parametrize("directory", range(3))
"""So that no test takes long: each has a directory of its own."""

CLIENTS = 4
MAX_ANSWERS = 30

KEY = new_api_key()


@attrs.define(kw_only=True)
class Lives:
    """One data directory, and the servers that live in it one after the other."""

    directory: Path
    audit_path: Path
    tokens: set[str] = attrs.Factory(set)
    number: int = 0
    process: ForkedProcess | None = None
    session_id: str = ""

    def start(self) -> ForkedProcess:
        """Begin a life."""
        self.number += 1
        environment = clean_environment(
            TOKENAUTHORITY_DATA_DIR=str(self.directory),
            TOKENAUTHORITY_LISTEN__GRPC="127.0.0.1:0",
            TOKENAUTHORITY_LISTEN__HTTP="127.0.0.1:0",
            TOKENAUTHORITY_LISTEN__HTTP_API="127.0.0.1:0",
            TOKENAUTHORITY_LISTEN__OPS="127.0.0.1:0",
            TOKENAUTHORITY_LOGGING__FORMAT="json",
            TOKENAUTHORITY_AUDIT__PATH=str(self.audit_path),
            TOKENAUTHORITY_AUDIT__MAX_BYTES="65536",
            TOKENAUTHORITY_AUDIT__CHECKPOINT_INTERVAL="1",
        )
        with self.log.open("w") as log:
            self.process = forkserver.start(
                ["serve", "--dev", "--dev-api-key", KEY],
                cwd=self.directory,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self.process

    @property
    def log(self) -> Path:
        """What the server of this life writes."""
        return self.directory / f"life-{self.number}.log"

    @property
    def files(self) -> list[Path]:
        """The files of the audit log, that which is being written first."""
        every = sorted(self.audit_path.parent.glob("audit*.jsonl"))
        return [self.audit_path, *(file for file in every if file != self.audit_path)]

    def address(self) -> str:
        """Where the server of this life is; empty while it has not said that it is ready."""
        text = self.log.read_text() if self.log.exists() else ""
        if "tokens generate" not in text:
            return ""
        started = next(line for line in text.splitlines() if '"server.started"' in line)
        return str(json.loads(started)["grpc"])

    def wait_for_address(self) -> str:
        """Where it is, once it is there."""
        eventually(lambda: bool(self.address()), "the server does not start")
        return self.address()


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """Lives on an ordinary disk."""
    yield from _lives(tmp_path, tmp_path / "data" / "audit.jsonl")


@pytest.fixture
def lives_on_a_small_disk(tmp_path: Path) -> Iterator[Lives]:
    """Lives whose audit log is on a file system of 4 MiB."""
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        yield from _lives(tmp_path, disk / "audit.jsonl")


def _lives(tmp_path: Path, audit_path: Path) -> Iterator[Lives]:
    data = tmp_path / "data"
    data.mkdir()
    made = Lives(directory=data, audit_path=audit_path)
    try:
        yield made
    finally:
        if made.process:
            end(made.process)


def end(process: ForkedProcess) -> None:
    """End a life at once."""
    process.kill()
    process.wait(WAIT)


def ask(wire: Wire, lives: Lives, stop: Event, answered: list[str], refused: list[str]) -> None:
    """Request tokens, one and three at a time, until *stop* is set."""
    wanted = token_pb2.TokenRequest(session_id=lives.session_id)
    while not stop.is_set():
        one = wire.call(GENERATE, token_pb2.GenerateTokenRequest(request=wanted), timeout=5)
        if one.code == "OK":
            answered.append(token_pb2.GenerateTokenResponse.FromString(one.body).token.token_id)
        three = wire.call(
            V1 + "TokenService/BatchGenerateTokens",
            token_pb2.BatchGenerateTokensRequest(requests=[wanted] * 3),
            timeout=5,
        )
        if three.code == "OK":
            tokens = token_pb2.BatchGenerateTokensResponse.FromString(three.body).tokens
            answered.extend(token.token_id for token in tokens)
        refused.extend(outcome.reason or outcome.code for outcome in (one, three) if outcome.code != "OK")


def under_load(lives: Lives, process: ForkedProcess, *, full: bool = False) -> list[str]:
    """Put a server under load for a random time and kill it; return why it refused calls."""
    stop, answered, refused = Event(), list[str](), list[str]()
    channel = grpc.insecure_channel(
        lives.wait_for_address(), [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    )
    with channel, ThreadPoolExecutor(CLIENTS) as pool:
        wire = Wire(channel=channel, api_key=KEY)
        if not lives.session_id:
            lives.session_id = create_session(wire, lives)
        work = [pool.submit(ask, wire, lives, stop, answered, refused) for _ in range(CLIENTS)]
        try:
            count = random.randrange(MAX_ANSWERS)
            eventually(lambda: len(answered) >= count, "no calls are answered")
            if full:
                let_the_disk_be_full(lives, answered, refused)
            stop.wait(random.random() * 0.02)
        finally:
            end(process)
            stop.set()
        for done in work:
            done.result(WAIT)
    lives.tokens.update(answered)
    return refused


def create_session(wire: Wire, lives: Lives) -> str:
    """A session of the project that the first life made; its id."""
    environment = (lives.directory / "dev.env").read_text()
    project_id = environment.partition("TOKENAUTHORITY_PROJECT_ID=")[2].strip()
    made = wire.call(V1 + "SessionService/CreateSession", session_pb2.CreateSessionRequest(project_id=project_id))
    assert "OK" == made.code, made.message
    return session_pb2.CreateSessionResponse.FromString(made.body).session.session_id


def let_the_disk_be_full(lives: Lives, answered: list[str], refused: list[str]) -> None:
    """Until calls are refused, and at times until they are answered again."""
    fill(filler(lives))
    eventually(lambda: "AUDIT_UNAVAILABLE" in refused, "the disk is full and no call fails")
    if random.random() < 0.5:
        before = len(answered)
        filler(lives).unlink()
        eventually(lambda: len(answered) > before + CLIENTS, "the log does not recover")


def filler(lives: Lives) -> Path:
    """The file that fills the disk."""
    return lives.audit_path.with_name("filler")


def verify_tokens(lives: Lives) -> None:
    """Require that every token that a client holds is in the log as issued, and that the log is intact."""
    given = {
        token_id
        for file in lives.files
        for line in text_lines(file)
        if (entry := json.loads(line))["type"] == "rpc" and entry["code"] == "OK"
        for token_id in (*entry.get("token_ids", ()), *(token["token_id"] for token in entry.get("tokens", ())))
    }
    report = checked(*lives.files)

    assert len(lives.tokens) > LIVES  # else nothing was put to the test
    assert set() == lives.tokens - given
    assert report.bad is None, str(report.bad)
    assert report.holds_trusted


def copy_public_key(lives: Lives) -> None:
    """Copy the public key beside the log, where `checked` expects it."""
    shutil.copy(lives.directory / "audit-key.pub.pem", lives.audit_path.with_name("audit-key.pub.pem"))


@several_times
def test_whoever_holds_a_token_finds_it_in_the_log(lives: Lives, directory: int) -> None:
    """SIGKILL under load and while it starts, over and over in one directory; then a life that ends with SIGTERM."""
    for _ in range(LIVES):
        process = lives.start()
        if random.random() < 0.2:
            Event().wait(random.random() * 0.5)
            end(process)
        else:
            under_load(lives, process)
    process = lives.start()
    lives.wait_for_address()
    process.terminate()

    assert 0 == process.wait(WAIT)
    verify_tokens(lives)
    assert ("stop", "checkpoint") == tuple(line["type"] for line in objects(lives.audit_path)[-2:])


@several_times
def test_whoever_holds_a_token_finds_it_also_after_a_full_disk(lives_on_a_small_disk: Lives, directory: int) -> None:
    """Filled under load, freed again or not, killed, and sometimes started while it is full, which is refused."""
    lives = lives_on_a_small_disk
    refused = []
    for full in random.sample([True, False] * (LIVES_ON_A_SMALL_DISK // 2), LIVES_ON_A_SMALL_DISK):
        process = lives.start()
        refused += under_load(lives, process, full=full)
        if filler(lives).exists():
            if random.random() < 0.5:
                fill(filler(lives))

                assert 2 == lives.start().wait(WAIT)
                assert "cannot be written: No space left on device" in lives.log.read_text()
            filler(lives).unlink()
    process = lives.start()
    lives.wait_for_address()
    process.terminate()

    assert 0 == process.wait(WAIT)
    copy_public_key(lives)
    verify_tokens(lives)
    assert "AUDIT_UNAVAILABLE" in refused
