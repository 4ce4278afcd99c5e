"""Servers of one PostgreSQL with a caller that has a rate and one that has a quota, and calls of them."""

from __future__ import annotations

import threading
import time

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

import attrs

from tests.support.authority import eventually
from tests.support.production import Production, Server
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.client import Authority, AuthorityError
from tokenauthority.client.errors import translated_errors
from tokenauthority.v1 import project_pb2


Call: TypeAlias = Callable[[], str]
"""Makes one call, and returns OK or the reason of its refusal."""


@attrs.frozen(kw_only=True)
class LimitedServers:
    """The servers of a store at `url`, which is up to date."""

    production: Production
    url: str
    per_second: int
    burst: int
    quota: int
    rated: str = attrs.field(factory=new_api_key, repr=False)
    counted: str = attrs.field(factory=new_api_key, repr=False)

    def start(self, count: int) -> list[Server]:
        """Write the callers file and start servers at once."""
        self._write_callers()
        servers = [self.production.launch(DATABASE__URL=self.url) for _ in range(count)]
        eventually(lambda: all(server.events("server.started") for server in servers), "a server does not start")
        return servers

    @contextmanager
    def calls(self, servers: Sequence[Server], key: str) -> Iterator[list[Call]]:
        """A call of each server in turn, by the caller of *key*."""
        clients = [self._client(server, key) for server in servers]
        try:
            yield [_call_of(client) for client in clients]
        finally:
            for client in clients:
                client.close()

    def _client(self, server: Server, key: str) -> Authority:
        trusted = self.production.root_certificates
        return Authority(server.address, api_key=key, root_certificates=trusted, tls_server_name="localhost")

    def _write_callers(self) -> None:
        limits = {
            "rated": (self.rated, f'rate = "{self.per_second}/s"\nburst = {self.burst}'),
            "counted": (self.counted, f"daily_quota = {self.quota}"),
        }
        text = "".join(
            f'[[callers]]\nname = "{name}"\napi_key_sha256 = "{digest(key)}"\nprojects = ["*"]\n'
            f'actions = ["projects.read"]\n{limit}\n'
            for name, (key, limit) in limits.items()
        )
        (self.production.directory / "callers.toml").write_text(text)


def passed(calls: Sequence[Call], seconds: float, pause: float) -> tuple[int, float]:
    """Make all calls at once, again and again: how many passed, and how many seconds it took."""
    end = threading.Event()
    began = time.monotonic()

    def repeat(call: Call) -> int:
        count = 0
        while not end.is_set():
            count += call() == "OK"
            end.wait(pause)
        return count

    with ThreadPoolExecutor(len(calls)) as pool:
        counts = [pool.submit(repeat, call) for call in calls]
        end.wait(seconds)
        end.set()
        return sum(count.result() for count in counts), time.monotonic() - began


def use_up(calls: Sequence[Call], at_most: int) -> int:
    """Make calls in turn until each was refused; how many passed."""
    count, refused = 0, set[int]()
    for number in range(at_most):
        index = number % len(calls)
        if calls[index]() == "OK":
            count += 1
        else:
            refused.add(index)
        if len(refused) == len(calls):
            break
    return count


def _call_of(client: Authority) -> Call:
    def call() -> str:
        try:
            with translated_errors():
                client.projects.ListProjects(project_pb2.ListProjectsRequest())
        except AuthorityError as error:
            return error.reason
        return "OK"

    return call
