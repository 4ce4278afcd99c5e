"""Generate the typed gRPC stubs of `protos/` in `src/tokenauthority/v1/`."""

import importlib.metadata
import shutil
import subprocess
import sys

from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
SOURCE = ROOT / "src"
STUBS = SOURCE / "tokenauthority" / "v1"


def main() -> None:
    """Generate all of them anew, so that no stub outlives the file that it was generated from.

    Raises:
        SystemExit: protoc refused the files; it has printed why.
    """
    files = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    if not files:
        raise SystemExit(f"no .proto files below {PROTOS}")
    shutil.rmtree(STUBS, ignore_errors=True)
    STUBS.mkdir(parents=True)
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"),
            *(f"--plugin={plugin}" for plugin in _mypy_plugins()),
            *(f"--{kind}_out={SOURCE}" for kind in ("python", "grpc_python")),
            *(f"--{kind}_out=quiet:{SOURCE}" for kind in ("mypy", "mypy_grpc")),
            *files,
        ],
        check=False,
    )
    if finished.returncode:
        raise SystemExit(finished.returncode)
    # Last of all: make takes this file for the sign that all the others are there.
    (STUBS / "__init__.py").write_text('"""Generated from `protos/`; do not edit."""\n', encoding="utf-8")


def _mypy_plugins() -> list[Path]:
    # Taken from the installed package and not from PATH, which need not name this interpreter's environment.
    files = importlib.metadata.files("mypy-protobuf") or []
    return [Path(str(file.locate())) for file in files if file.stem.startswith("protoc-gen-")]


if __name__ == "__main__":
    main()
