"""Runs faults one after another under load, and looks at the audit logs in the end."""

from __future__ import annotations

import subprocess
import sys
import threading

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

import attrs

from benchmarks import cpu
from benchmarks.chaos.deployment import populate
from benchmarks.chaos.faults import Fault, wait
from benchmarks.chaos.installation import Installation
from benchmarks.chaos.ledger import compare, recorded_calls
from benchmarks.chaos.load import ESSENTIAL
from benchmarks.chaos.servers import ChaosServer
from benchmarks.chaos.table import MAX_RECOVERY, Row
from tests.support.authority import WAIT


_QUIET: Final = 1.0
"""Seconds of load before a fault and after the recovery from it."""

_GIVEN_UP: Final = 2 * MAX_RECOVERY
_PAUSE: Final = 0.05
_LOOK: Final = 0.1


@attrs.define
class Peak:
    """The most memory that any server had since it was last asked."""

    site: Installation
    size: int = 0

    def look(self) -> None:
        """Look at all servers now."""
        for server in self.site.servers:
            if server.is_running():
                try:
                    self.size = max(self.size, cpu.resident(server.pid))
                except OSError:
                    continue


def run(site: Installation, faults: Sequence[Fault], seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Let each of *faults* happen for *seconds*; stop everything, and return what each did.

    What the servers did wrong beside the answers is in the `problems` of *site*.
    """
    _start_callers(site)
    with _watched(site) as peak:
        rows = [_happen(site, fault, seconds, peak, say) for fault in faults]
    site.remove_all_callers()
    for server in site.servers:
        if server.stop():
            site.problems.append(f"{server.name} did not end well")
        site.problems += _audit_problems(server)
    recorded = recorded_calls(path for server in site.servers for path in server.audit_files)
    return [_compared(site, row, recorded) for row in rows]


def _start_callers(site: Installation) -> None:
    pair, lite = populate(site, site.first), populate(site, site.lite)
    callers = {
        site.first.name: (pair, site.first.address, ["first-1", "first-2"]),
        site.second.name: (pair, site.second.address, ["second-1", "second-2"]),
        "": (pair, site.pair, ["pair-0"]),
        site.lite.name: (lite, site.lite.address, ["lite-1", "lite-2"]),
    }
    site.write_callers([name for _, _, names in callers.values() for name in names])
    wait(_QUIET)
    for world, server in ((pair, site.first), (lite, site.lite)):
        site.first_sessions(world, server)
    for server_name, (world, address, names) in callers.items():
        site.add_callers(names, world, address, server_name, _PAUSE)


def _happen(site: Installation, fault: Fault, seconds: float, peak: Peak, say: Callable[[str], None]) -> Row:
    missing = fault.missing()
    if missing:
        say(f"{fault.name}: NOT RUN, it needs {missing}")
        return Row(name=fault.name, about=fault.about, missing=missing)
    say(f"{fault.name}: {fault.about}")
    begun, site.ledger.fault = monotonic(), fault.name
    wait(_QUIET)
    peak.size = 0
    fault.happen(site, seconds)
    healed = site.healed if site.healed > begun else monotonic()
    recovery = _recovery(site, fault.name, healed)
    wait(_QUIET)
    gap = site.ledger.longest_gap(fault.name, begun, monotonic(), fault.callers)
    for server in site.servers:
        _revive(site, server)
    return Row(name=fault.name, about=fault.about, gap=gap, recovery=recovery, peak=peak.size)


def _recovery(site: Installation, fault: str, healed: float) -> float | None:
    """Return after how many seconds every caller could do all again; None if that took too long."""
    needed = {(caller.name, kind) for caller in site.callers for kind in ESSENTIAL}
    while monotonic() - healed < _GIVEN_UP:
        served = site.ledger.served_since(fault, healed)
        if needed <= served.keys():
            return max(served[each] for each in needed) - healed
        wait(_LOOK)
    missing = sorted(f"{caller} {kind}" for caller, kind in needed - served.keys())
    site.problems.append(f"{fault}: not served again: {', '.join(missing)}")
    return None


def _revive(site: Installation, server: ChaosServer) -> None:
    if not server.is_running():
        status = server.process.returncode if server.process else None
        site.problems.append(f"{site.ledger.fault}: {server.name} ended by itself with {status}")
        server.cable.cut()
        site.start(server)


def _audit_problems(server: ChaosServer) -> list[str]:
    """Return why its audit log does not verify; nothing if it does."""
    key = server.disk.directory / "audit-key.pub.pem"
    verified = subprocess.run(
        [sys.executable, "-m", "tokenauthority.cli", "audit", "verify", "--public-key", key, *server.audit_files],
        check=False,
        capture_output=True,
        text=True,
        timeout=4 * WAIT,
    )
    if verified.returncode:
        return [f"the audit log of {server.name} does not verify: {verified.stdout}{verified.stderr}"]
    return []


def _compared(site: Installation, row: Row, recorded: Mapping[str, set[str]]) -> Row:
    answers = site.ledger.of(row.name)
    return attrs.evolve(row, answers=answers, comparison=compare(answers, recorded, row.name))


@contextmanager
def _watched(site: Installation) -> Iterator[Peak]:
    peak, stop = Peak(site), threading.Event()

    def watch() -> None:
        while not stop.wait(_LOOK):
            peak.look()

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
