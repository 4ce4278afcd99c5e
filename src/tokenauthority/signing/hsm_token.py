"""A PKCS#11 token (an HSM) as one session, opened on demand and again after a failure."""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import pkcs11
import pkcs11.exceptions as errors

from tokenauthority.signing.hsm_uri import TokenUri
from tokenauthority.signing.key_provider import KeyProviderError


T = TypeVar("T")

MODULE_TIMEOUT: Final = 10.0
"""Seconds to wait for the module, which a call that hangs may hold."""

_MAX_PIN: Final = 255

_PIN_PROBLEMS: Final = (
    errors.PinExpired,
    errors.PinIncorrect,
    errors.PinInvalid,
    errors.PinLenRange,
    errors.PinLocked,
    errors.PinTooWeak,
    errors.UserPinNotInitialized,
)


class Module:
    """A PKCS#11 module. A process has one for each path, and calls into it one at a time, under its lock.

    python-pkcs11 initialises modules as single-threaded. `generation` counts the initialisations; each ends all the
    sessions of the one before.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._lock = threading.Lock()
        self.generation = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the module while the block runs; KeyProviderError after 10 seconds that another call holds it."""
        if not self._lock.acquire(timeout=MODULE_TIMEOUT):
            raise KeyProviderError(f"the PKCS#11 module {self._path} has not answered for {MODULE_TIMEOUT:g} seconds")
        try:
            yield
        finally:
            self._lock.release()

    def find_token(self, uri: TokenUri) -> pkcs11.Token:
        """Return the token that *uri* names; call it while the module is locked."""
        return pkcs11.lib(self._path).get_token(token_label=uri.token or None, token_serial=uri.serial.encode() or None)

    def restart(self) -> None:
        """Initialise it again, which ends all its sessions; call it while the module is locked.

        A module may know only the tokens that existed when it was initialised, and may lose one that was reset.
        """
        self.generation += 1
        pkcs11.lib(self._path).finalize()
        pkcs11.lib(self._path)


_modules: Final[dict[Path, Module]] = {}
_modules_lock: Final = threading.Lock()


def module(path: Path) -> Module:
    """Return the one module of this process at *path*; nothing is loaded yet."""
    with _modules_lock:
        return _modules.setdefault(path, Module(path))


class HsmToken:
    """The token at *uri*; *pin* is called at each login. All calls block; they may come from any thread."""

    def __init__(self, uri: TokenUri, pin: Callable[[], str]) -> None:
        self.uri = uri
        self._pin = pin
        self._module = module(uri.module_path)
        self._session: pkcs11.Session | None = None
        self._generation = 0
        self._refused: str | None = None

    def call(self, work: Callable[[pkcs11.Session], T]) -> T:
        """Return the result of *work* in a session that is logged in and can write; in a new one if the old one failed.

        Raises:
            KeyProviderError: the token cannot be used now, or *work* raised it.
        """
        with self._module.locked():
            if self._session is not None and self._generation == self._module.generation:
                try:
                    return work(self._session)
                except (errors.PKCS11Error, KeyProviderError):
                    self._drop_session()
            session = self._open_session()
            try:
                return work(session)
            except errors.PKCS11Error as error:
                self._drop_session()
                raise KeyProviderError(f"the token {self.uri.token_location} failed: {type(error).__name__}") from error

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(errors.PKCS11Error):
                session.close()

    def _open_session(self) -> pkcs11.Session:
        pin, token, path = self._pin(), self.uri.token_location, self.uri.module_path
        if pin == self._refused:
            raise KeyProviderError(f"the token {token} has refused this PIN; it is not tried again")
        if not 1 <= len(pin) <= _MAX_PIN:
            raise KeyProviderError(f"the PIN for the token {token} must have 1 to {_MAX_PIN} characters")
        try:
            session = self._log_in(pin)
        except _PIN_PROBLEMS as error:
            # Tokens lock after some wrong PINs, and each signature would be another try.
            self._refused = pin
            raise KeyProviderError(f"the token {token} refuses the PIN: {type(error).__name__}") from error
        except errors.NoSuchToken as error:
            raise KeyProviderError(f"the module {path} has no token {token}") from error
        except errors.MultipleTokensReturned as error:
            raise KeyProviderError(f"the module {path} has several tokens {token}: name the serial") from error
        except errors.PKCS11Error as error:
            cause = str(error) or type(error).__name__
            raise KeyProviderError(f"the module {path} cannot be used: {cause}") from error
        self._session, self._generation = session, self._module.generation
        return session

    def _log_in(self, pin: str) -> pkcs11.Session:
        try:
            return self._try_to_log_in(pin)
        except _PIN_PROBLEMS:
            raise
        except errors.PKCS11Error:
            self._module.restart()
            return self._try_to_log_in(pin)

    def _try_to_log_in(self, pin: str) -> pkcs11.Session:
        token = self._module.find_token(self.uri)
        try:
            return token.open(rw=True, user_pin=pin)
        except errors.UserAlreadyLoggedIn:
            # Another session of this process is logged in, and the login is the process's.
            return token.open(rw=True)
