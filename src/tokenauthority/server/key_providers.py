"""Build the provider that `keys.provider` names by its URI scheme. To add a KMS, write a class as `HsmProvider`."""

from __future__ import annotations

from tokenauthority.config.loading import ConfigError
from tokenauthority.config.settings import Settings
from tokenauthority.signing.hsm_uri import TokenUri
from tokenauthority.signing.key_provider import KeyProvider, KeyProviderError


def provider_of(settings: Settings) -> KeyProvider | None:
    """Return the provider of new signing keys, not asked yet, or None; raise ConfigError if its package is missing."""
    # The settings accept no other scheme than pkcs11.
    return _pkcs11(settings, TokenUri.parse(settings.keys.provider)) if settings.keys.provider else None


def _pkcs11(settings: Settings, uri: TokenUri) -> KeyProvider:
    try:
        from tokenauthority.signing.hsm import HsmProvider  # noqa: PLC0415 - an extra, only for those who use it
    except ImportError as error:
        raise ConfigError(
            ["TOKENAUTHORITY_KEYS__PROVIDER: pkcs11: needs python-pkcs11: pip install 'tokenauthority[server,pkcs11]'"]
        ) from error
    given = settings.keys.provider_pin

    def pin() -> str:
        if given is not None:
            return given.get_secret_value()
        if uri.pin_source is None:
            raise KeyProviderError("there is no PIN: set TOKENAUTHORITY_KEYS__PROVIDER_PIN, or pin-source")
        try:
            return uri.pin_source.read_text(encoding="utf-8", errors="replace").rstrip("\r\n")
        except OSError as error:
            raise KeyProviderError(f"the PIN in {uri.pin_source} cannot be read: {error.strerror}") from error

    return HsmProvider(uri, pin)
