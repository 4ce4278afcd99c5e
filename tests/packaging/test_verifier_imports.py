"""What a media server that imports the verifier has to install, and what of ours it loads."""

from __future__ import annotations

import subprocess
import sys

from collections.abc import Mapping
from importlib.metadata import packages_distributions


INSTALLED = {
    "attrs", "cffi", "cryptography", "googleapis-common-protos", "grpcio", "msgspec", "protobuf", "pyjwt",
    "tokenauthority", "typing-extensions",
}  # fmt: skip
"""What the extra `verifier` names, and what that needs itself."""

FOUND = {"grpc_health", "grpc_reflection", "grpc_tools"}
"""What grpc itself loads where it is installed."""

OURS = {"client", "clocks", "contract", "domain", "signing", "v1", "verifier"}


def test_the_verifier_needs_nothing_of_the_server() -> None:
    """A fresh interpreter that has imported it has loaded its own requirements and no more."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; before = set(sys.modules); import tokenauthority.verifier; print(*set(sys.modules) - before)",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    names = done.stdout.split()
    origins = packages_distributions()
    loaded = {top: _distributions(origins, top) for top in {name.split(".")[0] for name in names} - FOUND}
    ours = {name.split(".")[1] for name in names if name.startswith("tokenauthority.")}

    assert {"cryptography", "grpc", "jwt"} <= loaded.keys()
    assert {} == {top: found for top, found in loaded.items() if found and not found & INSTALLED}
    assert OURS == ours


def test_says_what_it_lacks() -> None:
    """An error names the extra to whoever has installed just the client."""
    code = "import sys; sys.modules['attrs'] = None; import tokenauthority.verifier"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert "the verifier needs attrs: pip install 'tokenauthority[verifier]'" in done.stderr


def _distributions(origins: Mapping[str, list[str]], top: str) -> set[str]:
    """The distributions that hold a part of the package *top*; none for the standard library's."""
    return {origin.lower().replace("_", "-") for origin in origins.get(top, ())}
