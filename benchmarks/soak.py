"""`make soak`: mixed load on one server for 30 minutes or for `--seconds`, and the memory, files and threads it uses.

    make soak ARGS="--seconds 120"

The cache of sessions is filled first, and each growth that has a bound is counted: what remains must be flat. Callers
create and end sessions, request tokens of all formats, verify, revoke and are refused, and judge each answer. The
server has SQLite.

Exits with 1 where an answer is wrong or one in a hundred calls has none, or where the memory, the descriptors or the
threads of the last third of the time are more than those of the third before.
"""

from __future__ import annotations

import argparse
import re
import ssl
import statistics
import sys
import tempfile
import urllib.request

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Final

import attrs
import psutil
import trustme

from benchmarks.chaos.deployment import PROJECT, Deployment, populate, server_in
from benchmarks.chaos.disks import SmallDisk
from benchmarks.chaos.faults import wait
from benchmarks.chaos.ledger import FAILED, shown
from benchmarks.chaos.servers import ChaosServer
from benchmarks.stores import add_sessions
from tests.support.production import production_in
from tokenauthority.authority.tenant_cache import MAX_SESSIONS
from tokenauthority.domain.token import MAX_BATCH
from tokenauthority.server.wiring import system_clock
from tokenauthority.storage.sqlite import writing_engine
from tokenauthority.v1 import token_pb2


_SECONDS: Final = 1800.0
_SAMPLES: Final = 30
_CALLERS: Final = 4
_BUSY_TIMEOUT: Final = 5.0
_TIMEOUT: Final = 30.0

_REVOCATION: Final = 150
"""Bytes of one more revocation in memory; 110 on average, more while the table of them grows."""

_MOST_FAILED: Final = 0.01
"""The share of calls without an answer beyond which the load was not what it should be."""

_NOISE: Final = 2 << 20
"""Bytes by which the memory of a process without any growth goes up and down."""

_GAUGE: Final = re.compile(r'^tokenauthority_(cached\{kind="session"\}|revocations) ([0-9.e+]+)$', re.MULTILINE)


@attrs.frozen(kw_only=True)
class Sample:
    """What the server had at a moment."""

    seconds: float
    calls: int
    resident: int
    descriptors: int
    threads: int
    sessions: int
    revocations: int

    @property
    def unexplained(self) -> int:
        """The bytes that are not those of revocations, whose number has a limit of its own."""
        return self.resident - _REVOCATION * self.revocations

    def __str__(self) -> str:
        """Return a line of the table."""
        cells = (self.calls, self.descriptors, self.threads, self.sessions, self.revocations)
        return f"{self.seconds:>9.0f}{self.resident / 2**20:>9.1f}" + "".join(f"{cell:>12,}" for cell in cells)


def main() -> int:
    """Soak; the exit status."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="tokenauthority-soak-", dir="/tmp") as name, ExitStack() as stack:
        certificates = trustme.CA()
        production = stack.enter_context(production_in(Path(name), certificates))
        site = Deployment(production=production, certificates=certificates)
        server = stack.enter_context(server_in(production, "lite", SmallDisk.unbounded))
        names = [f"soak-{number}" for number in range(_CALLERS)]
        site.write_callers(names)
        server.start()
        stack.callback(site.remove_all_callers)
        world = populate(site, server)
        print(f"filling the cache with {options.sessions:,} sessions", flush=True)
        _fill_cache(site, server, options.sessions)
        site.first_sessions(world, server)
        site.ledger.fault = "soak"
        site.add_callers(names, world, server.address, server.name, pause=options.pause)
        samples = _watch(site, server, options.seconds)
    return _judge(site, samples)


def _fill_cache(site: Deployment, server: ChaosServer, count: int) -> None:
    """Write sessions to the store, and let the server read each."""
    engine = writing_engine(server.disk.directory / "tokenauthority.db", _BUSY_TIMEOUT)
    try:
        with engine.begin() as connection:
            session_ids = add_sessions(connection, [PROJECT], count, system_clock())
    finally:
        engine.dispose()
    with site.client(server.address) as admin:
        for start in range(0, count, MAX_BATCH):
            requests = [
                token_pb2.TokenRequest(session_id=session_id, format=token_pb2.TOKEN_FORMAT_OPENTOK_T1)
                for session_id in session_ids[start : start + MAX_BATCH]
            ]
            batch = token_pb2.BatchGenerateTokensRequest(requests=requests)
            admin.tokens.BatchGenerateTokens(batch, timeout=_TIMEOUT)


def _watch(site: Deployment, server: ChaosServer, seconds: float) -> Sequence[Sample]:
    heads = ("calls", "descriptors", "threads", "sessions", "revocations")
    print(f"{'seconds':>9}{'RSS MiB':>9}" + "".join(f"{head:>12}" for head in heads), flush=True)
    trust = ssl.create_default_context(cadata=site.production.root_certificates.decode())
    begun, samples = monotonic(), []
    for number in range(1, _SAMPLES + 1):
        wait(begun + number * seconds / _SAMPLES - monotonic())
        samples.append(_sample(site, server, trust, monotonic() - begun))
        print(samples[-1], flush=True)
    return samples


def _sample(site: Deployment, server: ChaosServer, trust: ssl.SSLContext, seconds: float) -> Sample:
    with urllib.request.urlopen(f"https://{server.metrics_address}/metrics", timeout=_TIMEOUT, context=trust) as answer:
        gauges: Mapping[str, str] = dict(_GAUGE.findall(answer.read().decode()))
    process = psutil.Process(server.pid)
    return Sample(
        seconds=seconds,
        calls=len(site.ledger.of("soak")),
        resident=process.memory_info().rss,
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        sessions=int(float(gauges['cached{kind="session"}'])),
        revocations=int(float(gauges["revocations"])),
    )


def _judge(site: Deployment, samples: Sequence[Sample]) -> int:
    third = len(samples) // 3
    before, last = samples[-2 * third : -third], samples[-third:]
    calls = last[-1].calls - before[0].calls
    grown = _grown(before, last, lambda sample: sample.unexplained)
    print(f"memory that nothing explains grew by {grown / 1024:.0f} KiB over {calls:,} calls")
    answers = site.ledger.of("soak")
    problems = [f"wrong: {each.kind}: {each.problem}" for each in answers if each.problem]
    failed = Counter(each.code for each in answers if each.code in FAILED)
    if failed.total() > _MOST_FAILED * len(answers):
        problems.append(f"of {len(answers):,} calls these had no answer: {dict(failed)}")
    if grown > _NOISE:
        problems.append("the memory is not flat")
    if _grown(before, last, lambda sample: sample.descriptors + sample.threads) > _CALLERS:
        problems.append("the descriptors and threads are not flat")
    for problem in shown(problems):
        print(f"PROBLEM {problem}")
    print("NOT FLAT OR WRONG" if problems else "flat, and every answer is right")
    return 1 if problems else 0


def _grown(before: Sequence[Sample], last: Sequence[Sample], measure: Callable[[Sample], int]) -> float:
    return statistics.median(map(measure, last)) - statistics.median(map(measure, before))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description="See whether a server under load is flat.")
    add = parser.add_argument
    add("--seconds", type=float, default=_SECONDS, metavar="S", help=f"for how long (default {_SECONDS:.0f})")
    add("--sessions", type=int, default=MAX_SESSIONS, metavar="N", help="cached before it begins (default: the limit)")
    add("--pause", type=float, default=0.002, metavar="S", help="of each caller between two calls (default 0.002)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
