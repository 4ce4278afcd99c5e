"""gRPC ignores an option that it does not know, without a word."""

from __future__ import annotations

import re

from importlib.util import find_spec
from pathlib import Path

import tokenauthority


_OPTION = re.compile(rb'\("(grpc\.[a-z0-9_.]+)"')


def test_the_library_knows_every_option_that_the_source_sets() -> None:
    """A misspelt one would be a limit that nobody enforces."""
    source = Path(str(tokenauthority.__file__)).parent
    used = {name for path in source.rglob("*.py") for name in _OPTION.findall(path.read_bytes())}
    spec = find_spec("grpc._cython.cygrpc")
    assert spec is not None
    library = Path(str(spec.origin)).read_bytes()

    assert len(used) > 10
    assert [] == sorted(name for name in used if name + b"\0" not in library)
