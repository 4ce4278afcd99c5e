"""Several servers of one store, each a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeAlias

import attrs
import grpc

from tests.support.authority import WAIT, AuthorityProcess, eventually, launch
from tokenauthority.callers.api_keys import new_api_key
from tokenauthority.client import Authority
from tokenauthority.config.settings import Settings
from tokenauthority.server.main import upgrade_database
from tokenauthority.signing.sealing import MasterKey
from tokenauthority.v1 import token_pb2, token_pb2_grpc


Stream: TypeAlias = Iterator[token_pb2.WatchRevocationsResponse]

ISSUER = "http://authority.test"

PAUSE = 0.02
"""Seconds between two turns of a loop."""


@attrs.define(kw_only=True)
class Fleet:
    """Development servers with one store, master key, issuer and API key; `variables` are those of all."""

    directory: Path
    url: str
    variables: dict[str, str]
    api_key: str = attrs.field(factory=new_api_key, repr=False)
    master_key: str = attrs.field(factory=lambda: MasterKey.generate().reveal(), repr=False)
    servers: list[AuthorityProcess] = attrs.Factory(list)
    _numbers: Iterator[int] = attrs.field(factory=itertools.count)
    _channels: list[grpc.Channel] = attrs.Factory(list)
    _clients: list[Authority] = attrs.Factory(list)

    def start(self, **variables: str) -> AuthorityProcess:
        """Start a server and wait until it serves; *variables* (without the prefix) are its own."""
        directory = self.directory / f"server-{next(self._numbers)}"
        directory.mkdir()
        every = {
            "DATABASE__URL": self.url,
            "KEYS__MASTER_KEY": self.master_key,
            "ISSUANCE__ISSUER": ISSUER,
            **self.variables,
            **variables,
        }
        server = launch(
            directory, "--dev-api-key", self.api_key, **{f"TOKENAUTHORITY_{name}": text for name, text in every.items()}
        )
        self.servers.append(server)
        return server

    def start_together(self, count: int) -> list[AuthorityProcess]:
        """Start several: first the one that makes what they share, then the others at once."""
        first = self.start()
        with ThreadPoolExecutor(count) as pool:
            return [first, *pool.map(lambda _: self.start(), range(count - 1))]

    def client(self, server: AuthorityProcess) -> Authority:
        """A client of one server, of the project that `--dev` makes."""
        self._clients.append(
            Authority(server.address, api_key=self.api_key, project_id=server.project_id, plaintext=True, timeout=WAIT)
        )
        return self._clients[-1]

    def watch(self, server: AuthorityProcess, resume_token: str = "") -> Stream:
        """A stream of revocations, which ends with the test."""
        channel = grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
        self._channels.append(channel)
        return token_pb2_grpc.TokenServiceStub(channel).WatchRevocations(
            token_pb2.WatchRevocationsRequest(resume_token=resume_token),
            metadata=(("authorization", f"Bearer {self.api_key}"),),
            timeout=4 * WAIT,
        )

    def kill(self, server: AuthorityProcess) -> None:
        """SIGKILL, in the middle of whatever it does."""
        server.stop(signal.SIGKILL)

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        for channel in self._channels:
            channel.close()
        for server in self.servers:
            server.process.kill()
            server.process.wait(WAIT)
            if server.process.stdout is not None:
                server.process.stdout.close()


@contextlib.contextmanager
def fleet_of(directory: Path, url: str, **variables: str) -> Iterator[Fleet]:
    """A fleet on the store at *url*, which is brought up to date."""
    upgrade_database(Settings.model_validate({"database": {"url": url}, "data_dir": directory}))
    fleet = Fleet(directory=directory, url=url, variables=variables)
    try:
        yield fleet
    finally:
        fleet.close()


class Loops:
    """Work that is done over and over on threads of its own, until the block ends; what it raised comes out there.

    With a pause between two turns: the work shall not take the CPU from the servers, or from other tests.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="loop")
        self._stop = threading.Event()
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def start(self, work: Callable[[], object]) -> None:
        """Do *work* again and again."""
        self._running.append(self._pool.submit(self._repeat, work))

    def go_on_until(self, condition: Callable[[], bool], reason: str) -> None:
        """Wait, for a bounded time, until *condition* holds, or something went wrong."""
        eventually(lambda: condition() or any(future.done() for future in self._running), reason)

    def __exit__(self, *_: object) -> None:
        """Stop, and raise what went wrong."""
        self._stop.set()
        self._pool.shutdown()
        for future in self._running:
            future.result()

    def _repeat(self, work: Callable[[], object]) -> None:
        while not self._stop.wait(PAUSE):
            work()
