"""The figures of a run: as a table for a person, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from cryptography.hazmat.backends.openssl import backend

from benchmarks.measure import Spread, bar_text


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Comparison, Outcome


_LIBRARIES: Final = ("grpcio", "uvloop", "protobuf", "cryptography", "pyjwt", "opentok")


class Section(Protocol):
    """The figures of a part of a run."""

    def as_text(self) -> str:
        """Tables."""

    def as_json(self) -> dict[str, object]:
        """The same for programs."""


@attrs.frozen
class Ratios:
    """What each subject costs, and how that compares."""

    outcome: Outcome
    comparisons: Sequence[Comparison]

    def as_text(self) -> str:
        """Two tables."""
        width = max(56, *(len(subject.name) + 2 for subject in self.outcome.costs))
        lines = ["", f"{'CPU in microseconds':<{width}}{'median':>9}  {'quartiles':<19}".rstrip(), ""]
        for subject, samples in self.outcome.costs.items():
            spread = Spread.of(samples)
            quartiles = f"{spread.lower:.1f} to {spread.upper:.1f}"
            lines.append(f"{subject.name:<{width}}{spread.median:>9.1f}  {quartiles:<19} per {subject.unit}")
        lines += ["", f"{'Ratios, pair by pair':<{width}}{'median':>9}  {'quartiles':<19} bar", ""]
        for comparison in self.comparisons:
            spread = Spread.of(self.outcome.ratios[comparison.name])
            quartiles = f"{spread.lower:.2f} to {spread.upper:.2f}"
            bar = _bar(comparison, spread.median)
            lines.append(f"{comparison.name:<{width}}{spread.median:>9.2f}  {quartiles:<19} {bar}".rstrip())
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, object]:
        """Every sample."""
        costs = [
            {"name": subject.name, "unit": subject.unit, "median": Spread.of(samples).median, "microseconds": samples}
            for subject, samples in self.outcome.costs.items()
        ]
        ratios = [_ratio(comparison, self.outcome.ratios[comparison.name]) for comparison in self.comparisons]
        return {"costs": costs, "ratios": ratios}


def machine() -> dict[str, object]:
    """What the figures are taken on: the same code costs more or less with another build of Python."""
    return {
        "python": platform.python_version(),
        "interpreter": str(Path(sys.executable).resolve()),
        "openssl": backend.openssl_version_text(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        **{name: version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    """The model of the first processor; empty where the system does not say it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def write_json(path: Path, parts: Mapping[str, Section]) -> None:
    """The figures of all *parts*, and what they were taken on."""
    figures = {"machine": machine(), **{name: part.as_json() for name, part in parts.items()}}
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _ratio(comparison: Comparison, samples: Sequence[float]) -> dict[str, object]:
    spread = Spread.of(samples)
    return {
        "name": comparison.name,
        "median": spread.median,
        "quartiles": [spread.lower, spread.upper],
        "bar": comparison.bar,
        "reached": comparison.reached(spread.median),
        "samples": list(samples),
    }


def _bar(comparison: Comparison, ratio: float) -> str:
    if comparison.bar is None:
        return "-"
    return bar_text(f"<= {comparison.bar}", reached=ratio <= comparison.bar)
