"""Render the Helm chart with Helm itself, which is built once from its Go module."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from media.programs import GoProgram
from tests.conformance.sdk.programs import run


HELM: Final = GoProgram("helm.sh/helm/v3/cmd/helm", "v3.22.0")
CHART: Final = Path(__file__).with_name("helm") / "tokenauthority"
VARIANTS: Final = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}
"""Values that the tests render, by name."""

MANIFESTS: Final = {name: CHART.parents[1] / "kubernetes" / f"{name}.yaml" for name in ("postgresql", "sqlite")}
"""The variants whose manifests are committed, for who has no Helm."""

_HEADER: Final = """\
# Made by `make manifests` from deploy/helm/tokenauthority with {values}: change those.
# Apply with: kubectl apply --namespace tokenauthority --filename {name}.yaml
"""

_KUBERNETES: Final = "1.37.0"
"""What the chart is rendered for. Helm that Go builds without its Makefile takes 1.20 for the newest version."""

_SECONDS: Final = 100


def lint(values: Path) -> None:
    """Check the chart with *values*; raise RuntimeError with what Helm finds."""
    run([str(HELM.path), "lint", "--strict", str(CHART), "--values", str(values)], CHART, _SECONDS)


def render(values: Path, *arguments: str) -> str:
    """Return the manifests of the chart with *values* and more *arguments*; raise RuntimeError if Helm refuses them."""
    command = [str(HELM.path), "template", "tokenauthority", str(CHART), "--namespace", "tokenauthority"]
    given = ["--kube-version", _KUBERNETES, "--values", str(values), *arguments]
    return run([*command, *given], CHART, _SECONDS)


def manifest(name: str) -> str:
    """Return the committed manifest of the variant *name*, as it must be."""
    values = VARIANTS[name]
    header = _HEADER.format(values=values.relative_to(CHART.parents[2]), name=name)
    return header + render(values)
