"""The version stands in one place, `src/tokenauthority/__init__.py`; Helm needs a copy of it, which is the same."""

from __future__ import annotations

import re
import shutil
import subprocess

from pathlib import Path

from tokenauthority import __version__


ROOT = Path(__file__).parents[2]


def test_no_other_file_states_the_version() -> None:
    """The package's metadata and the image take it from there."""
    stating = [
        name
        for name in ("pyproject.toml", "clients/python/pyproject.toml", "Dockerfile", "Makefile")
        if __version__ in (ROOT / name).read_text()
    ]

    assert [] == stating


def test_the_image_is_labelled_with_the_version() -> None:
    """By `make image`, which is asked here what it would run."""
    make = shutil.which("make")
    assert make is not None
    run = subprocess.run([make, "--dry-run", "image"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert f"--build-arg VERSION={__version__} " in run.stdout


def test_the_chart_has_the_version() -> None:
    """Of itself and of the program: Helm takes both from a file that states them."""
    chart = (ROOT / "deploy" / "helm" / "tokenauthority" / "Chart.yaml").read_text()

    assert [__version__] * 2 == re.findall(r"^(?:version|appVersion): (.+)$", chart, re.MULTILINE)
