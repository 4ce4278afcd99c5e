"""Makes the blocking client, `src/tokenauthority/client/blocking/`, of the asyncio one in `aio/`."""

import re
import shutil

from pathlib import Path

import unasync


CLIENT = Path(__file__).resolve().parent.parent / "src" / "tokenauthority" / "client"
SOURCE = CLIENT / "aio"
TOKENS = {
    "asyncio": "threading",
    "open_async": "open",
    "wait_async": "wait",
    **{f"{name}ServiceAsyncStub": f"{name}ServiceStub" for name in ("Project", "Role", "Token")},
    **{
        f"Async{name}": name
        for name in ("Administration", "Authority", "MessageWatch", "RevocationWatch", "Session", "Stream")
    },
}
"""What unasync replaces, beside `async`, `await` and the names of Python's own protocols."""

TEXT = (
    (r"\bgrpc\.aio\b", "grpc"),
    (r"\btokenauthority\.client\.aio\b", "tokenauthority.client.blocking"),
    # unasync leaves docstrings as they are.
    (r"\b(Stop)?Async(?=[A-Z])", r"\1"),
)


def generate(target: Path) -> None:
    """Make the modules in *target* anew, so that none outlives the file that it was made from."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    rule = unasync.Rule(str(SOURCE), str(target), TOKENS)
    # `__init__.py` is last: make takes it for the sign that the others are there.
    for source in sorted(SOURCE.glob("*.py"), reverse=True):
        unasync.unasync_files([str(source)], [rule])
        made = target / source.name
        text = made.read_text(encoding="utf-8")
        for pattern, replacement in TEXT:
            text = re.sub(pattern, replacement, text)
        header = f"# Generated from aio/{source.name} by scripts/blocking.py; do not edit.\n"
        made.write_text(header + text, encoding="utf-8")


def main() -> None:
    """Make the package of the checkout."""
    generate(CLIENT / "blocking")


if __name__ == "__main__":
    main()
