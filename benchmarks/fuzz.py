"""`make fuzz`: asks VerifyToken about made-up tokens, for 10 minutes or for `--seconds`.

    make fuzz ARGS="--seconds 60"
    make fuzz ARGS="--case 4711"      one case again, with all that it is

A case is made from a seed alone: a valid token of any format, spoilt before it is signed by the right key or after it,
or what never was a token. That gets further than coverage-guided mutation of bytes (atheris): no mutation of bytes
makes a MAC, and what reads JSON and base64 is C, which atheris does not see into.

Exits with 1 where a call raised, a verdict was wrong, a reason was never given, or a call took more than --limit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import secrets
import sys
import tempfile
import time
import traceback
import tracemalloc

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import psutil

from tests.fuzzing.cases import Case, make_case
from tests.fuzzing.run import Flaw, ask, require_right
from tests.fuzzing.target import make_target
from tests.fuzzing.wire import served
from tokenauthority.domain.token import InactiveReason


if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.authority.world import World


_SLOWEST: Final = 5
_REPEATS: Final = 5
"""How often a call that seems slow is made again: the least of its times is its own, and not the collector's."""

_ROUND: Final = 3000
"""Cases that are asked about over and over while memory is looked at: what makes them takes none then."""

_ROUNDS: Final = 30
_TRACED_ROUNDS: Final = 4
_CHUNK: Final = 256
_SAY_EVERY: Final = 60.0


@attrs.define
class Tally:
    """What was seen so far."""

    executions: int = 0
    active: int = 0
    reasons: Counter[str] = attrs.Factory(Counter)
    kinds: Counter[str] = attrs.Factory(Counter)
    cpu: int = 0
    slowest: list[tuple[int, int]] = attrs.Factory(list)
    """CPU time in nanoseconds and seed, slowest first."""

    failed: list[int] = attrs.Factory(list)

    @property
    def missing(self) -> list[str]:
        """The reasons that were never given and could have been."""
        return sorted(set(InactiveReason) - self.reasons.keys())


def main() -> int:
    """Fuzz; the exit status."""
    options = _options()
    if options.case is not None:
        return asyncio.run(_one(options.case))
    first = secrets.randbelow(2**48) if options.seed is None else options.seed
    print(f"seeds from {first}", flush=True)
    tally = asyncio.run(_many(first, options.seconds))
    for line in _report(tally):
        print(line)
    resident, traced = asyncio.run(_memory(first))
    print(f"memory of the process after each 5th of {_ROUNDS} rounds of {_ROUND} cases: {_sizes(resident[::5])}")
    print(f"memory that Python holds after each of {_TRACED_ROUNDS} further rounds: {_sizes(traced)}")
    differing = _over_the_wire(range(first, first + options.wire))
    print(f"{options.wire} cases asked over the wire, {len(differing)} answered otherwise than in this process")
    for seed in differing:
        print(f"  {_again(seed)}")
    too_slow = [seed for spent, seed in tally.slowest if spent > options.limit * 1_000_000]
    for seed in too_slow:
        print(f"above {options.limit} ms: {_again(seed)}")
    if tally.missing:
        print("never given: " + ", ".join(tally.missing))
    return 1 if tally.failed or tally.missing or too_slow or differing else 0


async def _many(first: int, seconds: float) -> Tally:
    target, tally, process = await make_target(), Tally(), psutil.Process()
    begun = said = time.monotonic()
    while time.monotonic() - begun < seconds and not tally.failed:
        for _ in range(_CHUNK):
            await _try(target, make_case(first + tally.executions), tally)
        if time.monotonic() - said > _SAY_EVERY:
            said = time.monotonic()
            resident = process.memory_info().rss >> 20
            print(f"{tally.executions} executions after {said - begun:.0f} s, {resident} MiB", flush=True)
    return tally


async def _try(target: World, case: Case, tally: Tally) -> None:
    before = time.thread_time_ns()
    try:
        verdict = await ask(target, case)
        spent = time.thread_time_ns() - before
        require_right(case, verdict)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        print(f"FAILED: {error!r}\n  {_again(case.seed)}")
        tally.failed.append(case.seed)
        return
    finally:
        tally.executions += 1
    tally.cpu += spent
    tally.kinds[case.kind] += 1
    if verdict.reason is None:
        tally.active += 1
    else:
        tally.reasons[verdict.reason] += 1
    if len(tally.slowest) < _SLOWEST or spent > tally.slowest[-1][0]:
        await _time(target, case, tally)


async def _time(target: World, case: Case, tally: Tally) -> None:
    """Keep the time of a slow call, if it is slow each time."""
    spent = sys.maxsize
    for _ in range(_REPEATS):
        before = time.thread_time_ns()
        await ask(target, case)
        spent = min(spent, time.thread_time_ns() - before)
    tally.slowest = sorted([*tally.slowest, (spent, case.seed)], reverse=True)[:_SLOWEST]


async def _memory(first: int) -> tuple[list[float], list[float]]:
    """What the process has, and what Python holds, after rounds of the same cases, in KiB."""
    target, process = await make_target(), psutil.Process()
    cases = [make_case(seed) for seed in range(first, first + _ROUND)]
    resident, traced = [], []
    for _ in range(_ROUNDS):
        for case in cases:
            await ask(target, case)
        resident.append(process.memory_info().rss / 1024)
    tracemalloc.start()
    try:
        for _ in range(_TRACED_ROUNDS):
            for case in cases:
                await ask(target, case)
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0] / 1024)
    finally:
        tracemalloc.stop()
    return resident, traced


def _over_the_wire(seeds: Iterable[int]) -> list[int]:
    """The seeds of the cases about which a real server says something else than the use case."""
    with tempfile.TemporaryDirectory(prefix="tokenauthority-fuzz-") as name, served(Path(name) / "data") as server:
        cases = map(make_case, seeds)
        return [case.seed for case in cases if server.answer(case) != server.expected(case)]


async def _one(seed: int) -> int:
    case = make_case(seed)
    print(f"{case.kind}, {len(case.token)} characters\nsession_id {case.session_id!r}, required {case.required}")
    print(ascii(case.token))
    target = await make_target()
    try:
        verdict = await ask(target, case)
        print(f"{verdict.reason or 'active'}: {verdict.detail}")
        require_right(case, verdict)
    except Flaw as flaw:
        print(f"WRONG: {flaw.text}")
        return 1
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        traceback.print_exc()
        return 1
    tally = Tally()
    await _time(target, case, tally)
    print(f"{tally.slowest[0][0] / 1000:.0f} us of CPU")
    return 0


def _report(tally: Tally) -> list[str]:
    done = max(1, tally.executions - len(tally.failed))
    return [
        f"{tally.executions} executions, {len(tally.failed)} failed, {tally.cpu / done / 1000:.0f} us of CPU each",
        "kinds: " + ", ".join(f"{kind} {count}" for kind, count in tally.kinds.most_common()),
        f"verdicts: active {tally.active}, "
        + ", ".join(f"{reason} {count}" for reason, count in tally.reasons.most_common()),
        "slowest, CPU of VerifyToken alone:",
        *[f"  {spent / 1_000_000:.2f} ms: {_again(seed)}" for spent, seed in tally.slowest],
    ]


def _sizes(sizes: list[float]) -> str:
    return ", ".join(f"{size:.0f}" for size in sizes) + " KiB"


def _again(seed: int) -> str:
    return f'make fuzz ARGS="--case {seed}"'


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description="Ask VerifyToken about made-up tokens.")
    parser.add_argument("--seconds", type=float, default=600, metavar="S", help="for how long (default 600)")
    parser.add_argument("--seed", type=int, metavar="N", help="the first seed (default: any)")
    parser.add_argument("--case", type=int, metavar="N", help="ask about the case of this seed alone, and show it")
    parser.add_argument("--limit", type=float, default=10, metavar="MS", help="CPU of one call (default 10 ms)")
    parser.add_argument("--wire", type=int, default=2000, metavar="N", help="cases for a real server (default 2000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
