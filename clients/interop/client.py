"""The client of one language, as the tests of all languages use it."""

from __future__ import annotations

import contextlib
import itertools

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from google.protobuf.message import Message

from clients.interop.driver import Answer, Driver, Failure, Reply, packed, running_driver
from clients.interop.packages import Toolchain
from clients.interop.world import World
from tests.support.authority import clean_environment


NO_PROXY_IS_USED: Final = dict.fromkeys(["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"], "http://127.0.0.1:9")
"""Nothing listens there: a client that asks a proxy fails."""


@attrs.frozen(kw_only=True)
class Client:
    """The client of one language, with a project of its own at the authority."""

    name: str
    world: World
    project_id: str
    directory: Path
    log: Path
    toolchain: Toolchain
    _own: contextlib.ExitStack = attrs.field(repr=False)
    _drivers: dict[str, Driver] = attrs.field(factory=dict, repr=False)
    _numbers: Iterator[int] = attrs.field(factory=itertools.count, repr=False)

    @contextlib.contextmanager
    def started(self, variables: Mapping[str, str]) -> Iterator[Driver]:
        """A driver with these variables alone, for as long as the block runs."""
        base = clean_environment(**self.toolchain.variables, **NO_PROXY_IS_USED)
        proxies = {name.upper(): value for name, value in NO_PROXY_IS_USED.items()}
        environment = {**base, **proxies, **variables}
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            environment.pop(name, None)
        with running_driver(self.toolchain.command(self.name), self.directory, environment, self.log) as driver:
            yield driver

    def driver(self, caller: str = "backend") -> Driver:
        """The driver of a caller in the client's own project, which all tests share."""
        if caller not in self._drivers:
            variables = self.world.environment(caller, PROJECT_ID=self.project_id)
            self._drivers[caller] = self._own.enter_context(self.started(variables))
        return self._drivers[caller]

    def call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """The answer of an RPC, as `backend`; *method* is such as `RoleService/GetRole`."""
        return self.driver().call(method, request, answer)

    def refusal(self, method: str, request: Message, caller: str = "backend") -> Failure:
        """How an RPC fails."""
        return self.driver(caller).failure("call", **packed(method, request))

    def reply(self, method: str, request: Message) -> Reply:
        """How an RPC ends, as `backend`."""
        return self.driver().reply("call", **packed(method, request))

    def new_name(self, prefix: str) -> str:
        """A name that no other test has."""
        return f"{prefix}{next(self._numbers)}"
