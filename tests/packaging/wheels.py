"""Builds the two distributions from a copy of the checkout, because a build generates code anew."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile

from pathlib import Path
from typing import Final

import attrs


ROOT: Final = Path(__file__).resolve().parents[2]
BUILD_SECONDS: Final = 120
IN_A_COPY: Final = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "hatch_build.py",
    "pyproject.toml",
    "protos",
    "scripts",
    "src",
)


@attrs.frozen
class Wheels:
    """The wheels of server and client, and the client's own wheel from its source distribution."""

    server: Path
    client: Path
    client_from_sdist: Path


def build(directory: Path) -> Wheels:
    """Build all three in *directory*."""
    copy = directory / "checkout"
    project = copy / "clients" / "python"
    ignored = shutil.ignore_patterns("__pycache__", "interop*")
    shutil.copytree(ROOT / "clients" / "python", project, ignore=ignored)
    for name in IN_A_COPY:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    sdist = _hatch(project, "sdist", directory / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    unpacked = directory / sdist.name.removesuffix(".tar.gz")
    return Wheels(
        server=_hatch(copy, "wheel", directory / "server"),
        client=_hatch(project, "wheel", directory / "client"),
        client_from_sdist=_hatch(unpacked, "wheel", directory / "client_from_sdist"),
    )


def files(wheel: Path) -> dict[str, bytes]:
    """Every file of a wheel but those that describe it, with its content."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def metadata(wheel: Path) -> str:
    """What a wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def _hatch(project: Path, target: str, output: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(output)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert 0 == done.returncode, done.stderr
    [made] = output.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return made
