"""A real PKCS#11 token: SoftHSM's, in a directory of the test."""

from __future__ import annotations

import shutil
import subprocess

from pathlib import Path

import attrs
import pytest

from tokenauthority.signing.hsm import HsmProvider
from tokenauthority.signing.hsm_token import HsmToken, module
from tokenauthority.signing.hsm_uri import TokenUri


PIN = "canary-pin-4711"
LABEL = "signing keys"
MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
INSTALL = "SoftHSM is not installed, so nothing shows that signing keys can live in an HSM: apt-get install softhsm2"


@attrs.frozen
class SoftHsm:
    """A token with `LABEL` and `PIN`, and a file with that PIN."""

    module_path: Path
    util: str
    directory: Path

    @property
    def pin_file(self) -> Path:
        """The file with the PIN."""
        return self.directory / "pin"

    def uri(self, query: str = "", *, label: str = LABEL) -> str:
        """The token as `keys.provider` names it; *query* in place of the file with the PIN."""
        label = label.replace(" ", "%20")
        query = query or f"pin-source=file:{self.pin_file}"
        return f"pkcs11:token={label}?module-path={self.module_path}&{query}"

    def provider(self) -> HsmProvider:
        """A provider as another server would have it."""
        return HsmProvider(TokenUri.parse(self.uri()), lambda: PIN)

    def token(self) -> HsmToken:
        """The token, to look into."""
        return HsmToken(TokenUri.parse(self.uri()), lambda: PIN)

    def leave(self) -> None:
        """From now on the token cannot be reached."""
        (self.directory / "tokens").rename(self.directory / "away")

    def come_back(self) -> None:
        """It can again."""
        (self.directory / "away").rename(self.directory / "tokens")

    def add_token(self, label: str) -> None:
        """Another token, with the same PIN."""
        subprocess.run(
            [self.util, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "87654321"],
            check=True,
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    """A token of this test alone, for this process and those that it starts."""
    module_path, util = next((path for path in MODULES if path.exists()), None), shutil.which("softhsm2-util")
    if module_path is None or util is None:
        pytest.skip(INSTALL)
    hsm = SoftHsm(module_path, util, tmp_path / "softhsm")
    (hsm.directory / "tokens").mkdir(parents=True)
    configuration = hsm.directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {hsm.directory / 'tokens'}\nlog.level = ERROR\n")
    hsm.pin_file.write_text(f"{PIN}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    hsm.add_token(LABEL)
    loaded = module(module_path)
    with loaded.locked():
        # SoftHSM reads its configuration when it begins, once in a process.
        loaded.restart()
    return hsm
