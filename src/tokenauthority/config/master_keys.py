"""Find the master keys: in a variable, a file or a systemd credential, and check those."""

from __future__ import annotations

import os

from pathlib import Path
from typing import Final

import attrs

from pydantic import SecretStr

from tokenauthority.config.groups import KeySettings
from tokenauthority.config.wording import unreadable, variable_of
from tokenauthority.files import open_regular


CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
"""The variable of systemd that names the directory of credentials (systemd.exec, LoadCredential=)."""

MAX_FILE: Final = 1024
"""Largest size in bytes of a master key file: a key has at most 64, the rest is for white space."""

_MASTER_KEY: Final = "master_key"
_PREVIOUS: Final = "previous_master_key"
_NOT_SET: Final = (
    "is not set; systemd sets it for a service with LoadCredential= or SetCredentialEncrypted=; "
    "for other commands, set it to the directory of the credential"
)


class MasterKeySourceError(Exception):
    """A master key cannot be read from its setting. The message names the setting and shows no part of the key."""


@attrs.frozen(kw_only=True)
class MasterKeySource:
    """One setting that contains a master key, or the path of one."""

    setting: str
    """Its name in the group `keys`."""
    value: str | None = attrs.field(default=None, repr=False)
    path: Path | None = None

    @property
    def variable(self) -> str:
        """The setting's variable."""
        return variable_of(("keys", self.setting))

    def read(self) -> str:
        """Return the text, well formed or not; raise MasterKeySourceError if it is missing, unreadable or too large."""
        text, place = self.value, ""
        if self.path is not None:
            text, place = _read_key_file(self.variable, self.path), f" {self.path}"
        if text is None:
            raise MasterKeySourceError(f"{self.variable}: {CREDENTIALS_DIRECTORY} {_NOT_SET}")
        if not text.strip():
            raise MasterKeySourceError(f"{self.variable}:{place} is empty")
        return text

    @property
    def is_file(self) -> bool:
        """Whether it is a file of the operator's, and not a credential of systemd's."""
        return self.path is not None and not self.setting.endswith("_credential")


def sources_of(keys: KeySettings) -> tuple[list[MasterKeySource], list[MasterKeySource]]:
    """Return the sources of the master key and of the previous one: one each if the settings are valid."""
    return (
        _given(_MASTER_KEY, keys.master_key, keys.master_key_file, keys.master_key_credential),
        _given(_PREVIOUS, keys.previous_master_key, keys.previous_master_key_file, keys.previous_master_key_credential),
    )


def problems_of_master_keys(keys: KeySettings, *, required: bool) -> list[str]:
    """Return what is wrong with the sources of the master keys, as far as the settings and the disk show."""
    first, previous = sources_of(keys)
    problems = []
    if len(first) > 1 or (required and not first):
        problems.append(f"exactly one of {_alternatives(_MASTER_KEY)} is required")
    if len(previous) > 1:
        problems.append(f"at most one of {_alternatives(_PREVIOUS)} may be given")
    for source in (*first, *previous):
        if source.path is not None:
            problems += unreadable(source.variable, source.path)
        elif source.value is None:
            problems.append(f"{source.variable}: {CREDENTIALS_DIRECTORY} {_NOT_SET}")
    return problems


def previous_key_settings() -> str:
    """Return the variables for a previous master key, for a message."""
    return _alternatives(_PREVIOUS, last="or")


def _given(name: str, value: SecretStr | None, path: Path | None, credential: str | None) -> list[MasterKeySource]:
    found = []
    if value is not None:
        found.append(MasterKeySource(setting=name, value=value.get_secret_value()))
    if path is not None:
        found.append(MasterKeySource(setting=f"{name}_file", path=path))
    if credential is not None:
        directory = os.environ.get(CREDENTIALS_DIRECTORY, "")
        found.append(
            MasterKeySource(setting=f"{name}_credential", path=Path(directory, credential) if directory else None)
        )
    return found


def _alternatives(name: str, last: str = "and") -> str:
    plain, file, credential = (variable_of(("keys", name + suffix)) for suffix in ("", "_file", "_credential"))
    return f"{plain}, {file} {last} {credential}"


def _read_key_file(variable: str, path: Path) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        reason = f"cannot be read by uid {os.geteuid()}: {error.strerror}"
        raise MasterKeySourceError(f"{variable}: {path} {reason}") from error
    if len(content) > MAX_FILE:
        raise MasterKeySourceError(
            f"{variable}: {path} has more than {MAX_FILE} bytes, so it holds no master key alone"
        )
    # A file of raw bytes is refused as any other text that is not a key, and not shown.
    return content.decode("ascii", errors="replace")
