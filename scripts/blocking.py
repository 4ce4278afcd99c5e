"""Makes the blocking client, `src/tokenauthority/client/blocking/`, of the asyncio one in `aio/`."""

import re
import shutil

from pathlib import Path

import unasync


CLIENT = Path(__file__).resolve().parent.parent / "src" / "tokenauthority" / "client"
SOURCE = CLIENT / "aio"
BLOCKING = CLIENT / "blocking"
TOKENS = {
    "asyncio": "threading",
    "open_async": "open",
    "wait_async": "wait",
    **{f"Async{name}": name for name in ("Authority", "MessageWatch", "RevocationWatch", "Session", "Stream")},
    "TokenServiceAsyncStub": "TokenServiceStub",
}
"""What unasync replaces, beside `async`, `await` and the names of Python's own protocols."""

TEXT = (
    (r"\bgrpc\.aio\b", "grpc"),
    (r"\btokenauthority\.client\.aio\b", "tokenauthority.client.blocking"),
    # unasync leaves docstrings as they are.
    (r"\b(Stop)?Async(?=[A-Z])", r"\1"),
)


def main() -> None:
    """Make the modules anew, so that none outlives the file that it was made from."""
    shutil.rmtree(BLOCKING, ignore_errors=True)
    BLOCKING.mkdir()
    # `__init__.py` is last: make takes it for the sign that the others are there.
    for source in sorted(SOURCE.glob("*.py"), reverse=True):
        unasync.unasync_files([str(source)], [unasync.Rule(str(SOURCE), str(BLOCKING), TOKENS)])
        made = BLOCKING / source.name
        text = made.read_text(encoding="utf-8")
        for pattern, replacement in TEXT:
            text = re.sub(pattern, replacement, text)
        made.write_text(
            f"# Generated from aio/{source.name} by scripts/blocking.py; do not edit.\n{text}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
