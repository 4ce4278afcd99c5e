"""Generate what follows from `protos/`: the typed gRPC stubs in `src/tokenauthority/v1/`, and the service config."""

import importlib.metadata
import json
import runpy
import shutil
import subprocess
import sys

from pathlib import Path


ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
SOURCE = ROOT / "src"
STUBS = SOURCE / "tokenauthority" / "v1"
SERVICE_CONFIG = ROOT / "docs" / "service-config.json"


def main() -> None:
    """Generate all of it anew, so that no stub outlives the file that it was generated from.

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
    if SERVICE_CONFIG.exists():
        _write_service_config()
    # Last of all: make takes this file for the sign that all the others are there.
    (STUBS / "__init__.py").write_text('"""Generated from `protos/`; do not edit."""\n', encoding="utf-8")


def _write_service_config() -> None:
    """Write the document for clients in other languages; a source distribution has none."""
    sys.path.insert(0, str(SOURCE))
    # By path: the package of the client needs more than an environment that only builds has.
    client = runpy.run_path(str(SOURCE / "tokenauthority" / "client" / "service_config.py"))
    config = json.dumps(json.loads(client["SERVICE_CONFIG"]), indent=2)
    SERVICE_CONFIG.write_text(config + "\n", encoding="utf-8")


def _mypy_plugins() -> list[Path]:
    # Taken from the installed package and not from PATH, which need not name this interpreter's environment.
    files = importlib.metadata.files("mypy-protobuf") or []
    return [Path(str(file.locate())) for file in files if file.stem.startswith("protoc-gen-")]


if __name__ == "__main__":
    main()
