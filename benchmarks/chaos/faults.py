"""The faults: each happens to an installation under load, lasts for a while, and is over when its function returns."""

from __future__ import annotations

import signal
import threading

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import attrs

from benchmarks.chaos import attacks
from benchmarks.chaos.deployment import replace
from benchmarks.chaos.installation import Installation
from benchmarks.chaos.load import Caller
from benchmarks.chaos.servers import DESCRIPTORS, ChaosServer
from tests.support.memory_limit import memory_limit
from tests.support.peers import shown
from tokenauthority.client import Authority, AuthorityError, translated_errors
from tokenauthority.v1 import key_pb2


MEMORY: Final = 512 << 20
"""Bytes that a server may take while its memory is attacked."""

ROLLING_CALLERS: Final = 32

_FOUND_AGAIN: Final = 6.0
"""Seconds; clients try to connect every 5."""

_PAIR: Final = "pair-"
_HOUR: Final = 3600
_RELOAD: Final = 10.0
"""Seconds in which a changed file must count."""

_DELAY: Final = 0.1
"""Seconds that a piece of data waits in a slow network."""

_FAKETIME: Final = "faketime/libfaketimeMT.so.1"


@attrs.frozen(kw_only=True)
class Fault:
    """A fault; `happen` takes for how many seconds it lasts, and returns once it is over."""

    name: str
    about: str
    happen: Callable[[Installation, float], None]
    callers: str = ""
    """How the names of the callers begin whose time without service counts; empty for all."""

    missing: Callable[[], str] = lambda: ""
    """What the machine lacks to try it; empty for nothing."""


def wait(seconds: float) -> None:
    """Let the load go on."""
    threading.Event().wait(seconds)


def _killed(site: Installation, seconds: float) -> None:
    victims = (site.first, site.lite)
    for server in victims:
        server.kill()
    wait(seconds)
    site.healed = monotonic()
    site.start(*victims)


def _paused(site: Installation, seconds: float) -> None:
    victims = (site.second, site.lite)
    for server in victims:
        server.send(signal.SIGSTOP)
    wait(seconds)
    for server in victims:
        server.send(signal.SIGCONT)


def _failed_over(site: Installation, seconds: float) -> None:
    """Demote the primary, let both addresses lead to it as a standby for a while, and then to the new primary.

    A proxy before the pooler cuts its connections then; the first server has to find out by itself.
    """
    old, new = site.primary, site.standby
    old.stop("fast")
    new.promote()
    old.follow(new)
    wait(seconds)
    site.pooled.cut()
    site.direct.lead_to(new.port)
    site.pooled.lead_to(new.port)
    site.primary, site.standby = new, old


def _frozen(site: Installation, seconds: float) -> None:
    with site.primary.frozen():
        wait(seconds)


def _pooler_restarted(site: Installation, seconds: float) -> None:
    site.pooler.kill()
    wait(seconds)
    site.pooler.start()


def _disk_full(site: Installation, seconds: float) -> None:
    victims = (site.first, site.lite)
    for server in victims:
        server.disk.fill(server.pid)
    wait(seconds)
    for server in victims:
        server.disk.free(server.pid)


def _descriptors(site: Installation, seconds: float) -> None:
    with attacks.idle_connections(site.first.own_address, DESCRIPTORS + 100) as opened:
        wait(seconds)
        if not opened:
            site.problems.append("descriptors: no connection could be opened")


def _memory(site: Installation, seconds: float) -> None:
    server = site.lite
    with memory_limit(MEMORY) as limit:
        limit.limit_process(server.pid)
        attacks.attack_memory(server.own_address, site.production.root_certificates, site.keys["lite-1"], seconds)
        if not server.is_running():
            site.problems.append(f"memory: {server.name} ended with {server.process and server.process.returncode}")
            server.cable.cut()
            site.start(server)


def _slow_network(site: Installation, seconds: float) -> None:
    cables = (*(server.cable for server in site.servers), site.direct, site.pooled)
    for cable in cables:
        cable.slow_down(_DELAY)
    wait(seconds)
    for cable in cables:
        cable.slow_down(0)


def _clock_stepped(site: Installation, seconds: float) -> None:
    """Start the server on SQLite with a clock that can be set, set it an hour ahead and back, and start it again."""
    server, clock = site.lite, site.production.directory / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": faketime_path(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with _restarted(site, server, **environment), _untrusted_clock(site.callers, server):
        for offset in (_HOUR, 0, -_HOUR // 2, 0):
            replace(clock, f"{offset:+}".encode())
            wait(seconds)


def _files_replaced(site: Installation, seconds: float) -> None:
    """Replace the certificate, and the callers file: one caller leaves, one joins, and then the file is damaged."""
    home, names = site.production.directory, sorted({caller.name for caller in site.callers})
    certificate = site.certificates.issue_cert("127.0.0.1", "localhost")
    before = shown(site.first.own_address, home)
    site.write_callers([*names, "leaver"])
    with ExitStack() as stack:
        leaver, joiner = (
            [stack.enter_context(site.client(server.address, name)) for server in site.servers]
            for name in ("leaver", "joiner")
        )
        _expect(site, lambda: _statuses(leaver) == {"OK"}, "a new caller is not served")
        replace(home / "server.key", certificate.private_key_pem.bytes())
        replace(home / "server.pem", b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        site.write_callers([*names, "joiner"])
        _expect(site, lambda: _statuses(leaver) == {"UNAUTHENTICATED"}, "a caller that was removed is served")
        _expect(site, lambda: _statuses(joiner) == {"OK"}, "the next new caller is not served")
        _expect(site, lambda: shown(site.first.own_address, home) != before, "the old certificate is shown")
        replace(home / "callers.toml", b"[[callers]\nname = ")
        wait(seconds)
        if _statuses(joiner) != {"OK"}:
            site.problems.append("files: a damaged callers file takes a caller's grant")
    site.write_callers(names)


def _rolling_restart(site: Installation, seconds: float) -> None:
    """Stop one server after the other with SIGTERM while many callers, who know both, ask.

    Callers who know only one of them are without service while it is away, and do not ask meanwhile.
    """
    names = [f"{_PAIR}{number}" for number in range(1, ROLLING_CALLERS + 1)]
    site.write_callers([*(caller.name for caller in site.callers), *names])
    world = next(caller.world for caller in site.callers if caller.server == site.first.name)
    pinned = [caller for caller in site.callers if caller.world is world and caller.server]
    for caller in pinned:
        caller.halt()
    for server in (site.first, site.second):
        with site.client(server.address, names[-1]) as last:
            _expect(site, lambda last=last: _status(last) == "OK", f"{server.name} does not serve the callers")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    many = site.add_callers(names, world, site.pair, "", pause=0.3)
    wait(seconds)
    for server in (site.first, site.second):
        if server.stop():
            site.problems.append(f"rolling: {server.name} did not end well")
        site.start(server)
        # As a deployment waits: for as long as clients may take to find the server again.
        wait(max(seconds, _FOUND_AGAIN))
    site.remove_callers(many)
    for caller in pinned:
        caller.start()


def faketime_path() -> str:
    """Return where libfaketime is; empty if it is not on this machine."""
    return next((str(path) for path in sorted(Path("/usr/lib").glob(f"**/{_FAKETIME}"))), "")


FAULTS: Final = (
    Fault(name="calm", about="nothing", happen=lambda _, seconds: wait(seconds)),
    Fault(name="kill", about="SIGKILL of two servers, started again", happen=_killed),
    Fault(name="pause", about="SIGSTOP and SIGCONT of two servers", happen=_paused),
    Fault(name="failover", about="primary demoted, standby promoted", happen=_failed_over),
    Fault(name="freeze", about="primary frozen with its connections open", happen=_frozen),
    Fault(name="pooler", about="PgBouncer killed, started again", happen=_pooler_restarted),
    Fault(name="disk", about="disks of two servers full", happen=_disk_full),
    Fault(name="descriptors", about=f"{DESCRIPTORS + 100} idle connections of a stranger", happen=_descriptors),
    Fault(name="memory", about=f"memory attacked, {MEMORY >> 20} MiB for the server", happen=_memory),
    Fault(name="network", about="slow network to servers and store", happen=_slow_network),
    Fault(
        name="clock",
        about="clock set an hour ahead, back, behind",
        happen=_clock_stepped,
        missing=lambda: "" if faketime_path() else "libfaketime (Debian: apt-get install faketime)",
    ),
    Fault(name="files", about="certificate and callers file replaced", happen=_files_replaced),
    Fault(
        name="rolling", about=f"rolling restart, {ROLLING_CALLERS} more callers", happen=_rolling_restart, callers=_PAIR
    ),
)


@contextmanager
def _restarted(site: Installation, server: ChaosServer, **environment: str) -> Iterator[None]:
    server.stop()
    site.start(server, **environment)
    try:
        yield
    finally:
        server.kill()
        site.start(server)


@contextmanager
def _untrusted_clock(callers: Iterable[Caller], server: ChaosServer) -> Iterator[None]:
    worlds = [caller.world for caller in callers if caller.server == server.name]
    for world in worlds:
        world.clock_is_right = False
    yield
    for world in worlds:
        world.clock_is_right = True


def _expect(site: Installation, condition: Callable[[], bool], problem: str) -> None:
    begun = monotonic()
    while not condition():
        if monotonic() - begun > _RELOAD:
            site.problems.append(f"{site.ledger.fault}: {problem} after {_RELOAD:.0f} s")
            return
        wait(0.2)


def _statuses(clients: Iterable[Authority]) -> set[str]:
    return set(map(_status, clients))


def _status(client: Authority) -> str:
    try:
        with translated_errors():
            client.keys.GetJsonWebKeySet(key_pb2.GetJsonWebKeySetRequest())
    except AuthorityError as error:
        return error.code.name
    return "OK"
