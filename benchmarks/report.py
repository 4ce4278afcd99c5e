"""The figures of a run: as a table for a person, and as JSON."""

from __future__ import annotations

import json
import os
import platform

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.backends.openssl import backend

from benchmarks.measure import Spread


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Comparison, Outcome


_LIBRARIES: Final = ("grpcio", "uvloop", "protobuf", "cryptography", "pyjwt", "opentok")


def as_text(outcome: Outcome, comparisons: Sequence[Comparison]) -> str:
    """Two tables: what each costs, and how that compares."""
    lines = ["", f"{'CPU in microseconds':<56}{'median':>9}  {'quartiles':<19}", ""]
    for subject, samples in outcome.costs.items():
        spread = Spread.of(samples)
        quartiles = f"{spread.lower:.1f} to {spread.upper:.1f}"
        lines.append(f"{subject.name:<56}{spread.median:>9.1f}  {quartiles:<19} per {subject.unit}")
    lines += ["", f"{'Ratios, pair by pair':<56}{'median':>9}  {'quartiles':<19} bar", ""]
    for comparison in comparisons:
        spread = Spread.of(outcome.ratios[comparison.name])
        quartiles = f"{spread.lower:.2f} to {spread.upper:.2f}"
        bar = _bar(comparison, spread.median)
        lines.append(f"{comparison.name:<56}{spread.median:>9.2f}  {quartiles:<19} {bar}".rstrip())
    return "\n".join(lines) + "\n"


def write_json(path: Path, outcome: Outcome, comparisons: Sequence[Comparison], parts: Mapping[str, object]) -> None:
    """Every sample, the figures of the other *parts*, and what it was taken on."""
    figures = {
        "machine": {
            "python": platform.python_version(),
            "openssl": backend.openssl_version_text(),
            "processors": os.cpu_count(),
            **{name: version(name) for name in _LIBRARIES},
        },
        "costs": [
            {"name": subject.name, "unit": subject.unit, "median": Spread.of(samples).median, "microseconds": samples}
            for subject, samples in outcome.costs.items()
        ],
        **parts,
        "ratios": [_ratio(comparison, outcome.ratios[comparison.name]) for comparison in comparisons],
    }
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
        return ""
    sign = "<" if comparison.strict else "<="
    return f"{sign} {comparison.bar}  {'reached' if comparison.reached(ratio) else 'MISSED'}"
