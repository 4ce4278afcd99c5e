"""The published retries, in Python and Go: a server that stops or fails once costs a back end no error."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from tests.conformance.sdk.go_programs import GoPrograms
from tests.support.authority import WAIT, RunningAuthority, StartAuthority, eventually
from tests.support.faulty_store import FaultyStore
from tests.support.production import Production, Server
from tests.support.wire import GENERATE, records
from tokenauthority.client import Authority, AuthorityError, TokenRequest
from tokenauthority.signing.sealing import MasterKey, Sealer
from tokenauthority.v1 import project_pb2


pytestmark = pytest.mark.timeout(700)

BATCH = GENERATE.replace("/Generate", "/BatchGenerate") + "s"
LARGE_BATCH = 500
"""Items of 4 KB: eight times what gRPC stores for a retry by default."""


@attrs.frozen
class Ends:
    """How the calls of a client ended."""

    answered: int
    failed: Mapping[str, int]


@attrs.frozen
class Client:
    """A client that calls until it is stopped, from so many callers at once; each has had an answer already."""

    stop: Callable[[], Ends]


@contextlib.contextmanager
def calling_in_python(authority: Authority, session_id: str, callers: int) -> Iterator[Client]:
    """Threads that share one client."""
    stop, started = threading.Event(), threading.Barrier(callers + 1)

    def call() -> Counter[str]:
        ends: Counter[str] = Counter()
        while True:
            try:
                authority.generate_token(session_id)
                ends["OK"] += 1
            except AuthorityError as error:
                ends[f"{error.code.name}: {error}"] += 1
            if ends.total() == 1:
                started.wait(WAIT)
            if stop.is_set():
                return ends

    with ThreadPoolExecutor(callers) as pool:
        work = [pool.submit(call) for _ in range(callers)]

        def end() -> Ends:
            stop.set()
            ends = sum((done.result(WAIT) for done in work), Counter[str]())
            return Ends(ends.pop("OK", 0), ends)

        try:
            started.wait(WAIT)
            yield Client(end)
        finally:
            stop.set()


@contextlib.contextmanager
def calling_in_go(program: Path, *arguments: str, api_key: str, items: int = 0) -> Iterator[Client]:
    """The Go program, as a process of its own; with *items* it makes one batch of so many."""
    environment = {**os.environ, "TOKENAUTHORITY_API_KEY": api_key}
    command = [str(program), *arguments, f"-items={items}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8", env=environment) as process:
        timer = threading.Timer(WAIT, process.kill)
        timer.start()

        def end() -> Ends:
            return Ends(**json.loads(process.communicate()[0]))

        try:
            assert process.stdout is not None
            if not items:
                assert "started\n" == process.stdout.readline()
            yield Client(end)
        finally:
            process.kill()
            timer.cancel()


def recorded(*servers: Server) -> int:
    """How many tokens the servers recorded as given out."""
    return sum(
        record["method"] == GENERATE and record["code"] == "OK" for server in servers for record in server.audited()
    )


def wait_for_calls(server: Server, calls: int) -> None:
    """Wait until the server has answered so many more."""
    before = recorded(server)
    eventually(lambda: recorded(server) >= before + calls, "the server is not called")


def test_a_rolling_restart_loses_no_call(production: Production, go_programs: GoPrograms) -> None:
    """Of 8, 32 and 64 callers at once in each language, whose server is stopped while another one goes on."""
    (production.directory / "ca.pem").write_bytes(production.root_certificates)
    servers = [production.start(), production.start()]
    with production.client(servers[0].address) as client:
        project = client.projects.CreateProject(project_pb2.CreateProjectRequest()).project
    with production.client(servers[0].address, project_id=project.project_id) as client:
        session_id = client.create_session().session_id
    failed: dict[tuple[str, int], Mapping[str, int]] = {}
    answered = 0

    for callers in (8, 32, 64):
        stopping, staying = servers[-2:]
        addresses = ",".join(server.address for server in (stopping, staying))
        arguments = [f"-addresses={addresses}", f"-ca={production.directory}/ca.pem"]
        arguments += [f"-session={session_id}", f"-callers={callers}"]
        with (
            Authority(
                f"ipv4:{addresses}",
                api_key=production.api_key,
                root_certificates=production.root_certificates,
                tls_server_name="localhost",
                timeout=WAIT,
            ) as authority,
            calling_in_python(authority, session_id, callers) as python,
            calling_in_go(go_programs.retries, *arguments, api_key=production.api_key) as go,
        ):
            wait_for_calls(stopping, 2 * callers)
            assert 0 == stopping.stop()
            wait_for_calls(staying, 2 * callers)
            ends = {"python": python.stop(), "go": go.stop()}
        answered += sum(end.answered for end in ends.values())
        failed |= {(language, callers): end.failed for language, end in ends.items()}
        servers.append(production.start())

    assert {} == {client: errors for client, errors in failed.items() if errors}
    assert recorded(*servers) == answered


def client_of(authority: RunningAuthority) -> Authority:
    """A client of the authority's own project."""
    return Authority(
        authority.address, api_key=authority.api_key, project_id=authority.project_id, plaintext=True, timeout=WAIT
    )


@attrs.frozen
class FailingOnce:
    """An authority whose store fails with the next session that is asked for, and then no more."""

    authority: RunningAuthority
    store: FaultyStore
    sessions: Sequence[str]

    def session_id(self, number: int) -> str:
        """A session that the authority has to read, and cannot at first."""
        self.store.fail("get_session", times=1)
        return self.sessions[number]

    def codes(self) -> list[object]:
        """How the attempts of all batches ended."""
        return [record["code"] for record in records(self.authority.audit_path) if record["method"] == BATCH]


@pytest.fixture
def failing_once(start_authority: StartAuthority) -> FailingOnce:
    """One with sessions that another server of its store has made."""
    store, sealer = FaultyStore(), Sealer(MasterKey.generate())
    other, authority = (start_authority(store=store, sealer=sealer) for _ in range(2))
    with client_of(other) as client:
        return FailingOnce(authority, store, [client.create_session().session_id for _ in range(2)])


def test_a_large_batch_is_retried(failing_once: FailingOnce, go_programs: GoPrograms) -> None:
    """After UNAVAILABLE the same two megabytes are sent again, in Python and in Go."""
    authority = failing_once.authority
    with client_of(authority) as client:
        wanted = TokenRequest(failing_once.session_id(0), data="😀" * 1000)
        tokens = client.generate_tokens([wanted] * LARGE_BATCH)
    arguments = [f"-addresses={authority.address}", f"-session={failing_once.session_id(1)}"]
    with calling_in_go(go_programs.retries, *arguments, api_key=authority.api_key, items=LARGE_BATCH) as go:
        ends = go.stop()

    assert LARGE_BATCH == len(tokens)
    assert Ends(1, {}) == ends
    assert ["UNAVAILABLE", "OK"] * 2 == failing_once.codes()
