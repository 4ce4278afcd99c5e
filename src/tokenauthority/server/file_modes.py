"""Warn of private files that other users of the machine can read or write, at the start and whenever that changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import structlog

from tokenauthority.callers.registry import CurrentCallers
from tokenauthority.config.master_keys import sources_of
from tokenauthority.config.settings import Settings
from tokenauthority.config.variables import CONFIG_VARIABLE
from tokenauthority.config.wording import variable_of
from tokenauthority.files import exposed_mode
from tokenauthority.outage import Outage
from tokenauthority.signing.hsm_uri import TokenUri
from tokenauthority.threads import BlockingPool


@attrs.frozen
class _Watched:
    """File, and the variable or the field of the callers file that names it. All may read one that is not *secret*."""

    setting: str
    path: Path
    secret: bool = True


class FileModes:
    """Watches the modes of the files that hold secrets, and of those that say who is a caller and what counts."""

    def __init__(self, settings: Settings, callers: CurrentCallers) -> None:
        self._own = tuple(_files_of(settings))
        self._callers = callers
        self._logger = structlog.stdlib.get_logger(__name__)
        self._outages: dict[_Watched, Outage] = {}
        self._thread = BlockingPool("file-modes")

    async def look(self) -> None:
        """Log each file that has become readable or writable to others, and each that is not any more."""
        files = (*self._own, *_files_of_issuers(self._callers))
        # A file that is named no more is watched no more.
        self._outages = {file: self._outages.get(file) or self._outage() for file in files}
        modes = await self._thread.run(lambda: [exposed_mode(file.path, secret=file.secret) for file in files])
        for file, mode in zip(files, modes, strict=True):
            outage, path = self._outages[file], str(file.path)
            if mode:
                wanted = "mode 0600" if file.secret else "mode 0644"
                outage.report(mode, setting=file.setting, path=path, mode=mode, wanted=wanted)
            else:
                outage.recover(setting=file.setting, path=path)

    def _outage(self) -> Outage:
        return Outage(self._logger, "file.exposed", recovered="file.protected", level="warning")


def _files_of(settings: Settings) -> Iterator[_Watched]:
    provider = settings.keys.provider
    named = {
        ("callers", "file"): settings.callers.file,
        ("tls", "key_file"): settings.tls.key_file,
        ("mtls", "key_file"): settings.mtls.key_file,
        ("audit", "key_file"): settings.audit_key_path,
        ("turn", "secrets_file"): settings.turn.secrets_file,
        ("telemetry", "key_file"): settings.telemetry.key_file,
        ("telemetry", "headers_file"): settings.telemetry.headers_file,
        ("keys", "provider"): TokenUri.parse(provider).pin_source if provider else None,
    }
    # Not those of credentials, which systemd protects.
    sources = (source for found in sources_of(settings.keys) for source in found if source.is_file)
    named |= {("keys", source.setting): source.path for source in sources}
    yield from (_Watched(variable_of(setting), path) for setting, path in named.items() if path is not None)
    if settings.config_file is not None:
        yield _Watched(CONFIG_VARIABLE, settings.config_file, settings.config_holds_secret)
    if settings.mtls.bundle_file is not None:
        yield _Watched(variable_of(("mtls", "bundle_file")), settings.mtls.bundle_file, secret=False)


def _files_of_issuers(callers: CurrentCallers) -> Iterator[_Watched]:
    for issuer in callers.registry.issuers:
        for field, path in (
            ("token_file", issuer.token_file),
            ("ca_file", issuer.ca_file),
            ("jwks_file", issuer.jwks_file),
        ):
            if path is not None:
                yield _Watched(f"{field} of {issuer.issuer}", path, secret=field == "token_file")
