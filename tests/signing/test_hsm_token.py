"""A session with a PKCS#11 token is opened on demand, again after a failure, and never by a refused PIN twice."""

from __future__ import annotations

import threading

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pkcs11
import pytest

from tests.support.softhsm import LABEL, PIN, SoftHsm
from tokenauthority.domain.key import Algorithm
from tokenauthority.signing import hsm_token
from tokenauthority.signing.hsm import HsmProvider
from tokenauthority.signing.hsm_uri import TokenUri
from tokenauthority.signing.jose import parse_raw
from tokenauthority.signing.key_provider import KeyProviderError


def test_a_token_that_was_away_signs_again(softhsm: SoftHsm) -> None:
    """Each signature in between fails; the first one after works, in a session of its own."""
    key, _ = softhsm.provider().generate_key(Algorithm.ES256)
    key.signer.sign(b"{}")
    softhsm.leave()
    for _ in range(2):
        with pytest.raises(KeyProviderError, match="softhsm"):
            key.signer.sign(b"{}")

    softhsm.come_back()

    key.public.verifier.verify(parse_raw(key.signer.sign(b"{}")[0]))


def test_a_session_that_broke_costs_no_signature(softhsm: SoftHsm) -> None:
    """It is opened anew within the same call."""
    key, _ = softhsm.provider().generate_key(Algorithm.ES256)
    key.signer.sign(b"{}")
    loaded = hsm_token.module(softhsm.module_path)
    with loaded.locked():
        # As a module does whose connection was lost; the open session is not informed.
        pkcs11.lib(str(softhsm.module_path)).reinitialize()

    key.public.verifier.verify(parse_raw(key.signer.sign(b"{}")[0]))


def test_threads_may_sign_at_once(softhsm: SoftHsm) -> None:
    """With several keys of several providers, as no PKCS#11 session allows by itself."""
    keys = [softhsm.provider().generate_key(algorithm)[0] for algorithm in (Algorithm.ES256, Algorithm.EDDSA)]
    start = threading.Barrier(8)

    def sign(number: int) -> bool:
        key = keys[number % 2]
        start.wait(10)
        return all(key.public.verifier.holds(parse_raw(key.signer.sign(b"{}")[0])) for _ in range(25))

    with ThreadPoolExecutor(8) as threads:
        assert [True] * 8 == list(threads.map(sign, range(8)))


def test_a_wrong_pin_is_tried_once(softhsm: SoftHsm) -> None:
    """A token locks after some; a new one is tried, and no message holds either."""
    pins = ["wrong-pin-1"]
    provider = HsmProvider(TokenUri.parse(softhsm.uri()), lambda: pins[-1])
    said = []
    for _ in range(2):
        with pytest.raises(KeyProviderError) as caught:
            provider.generate_key(Algorithm.ES256)
        said.append(str(caught.value))
    pins.append(PIN)

    provider.generate_key(Algorithm.ES256)

    assert [
        "the token pkcs11:token=signing%20keys refuses the PIN: PinIncorrect",
        "the token pkcs11:token=signing%20keys has refused this PIN; it is not tried again",
    ] == said


@pytest.mark.parametrize("pin", ["", "x" * 256])
def test_a_pin_that_can_be_none_is_not_tried(softhsm: SoftHsm, pin: str) -> None:
    """Its limits are named."""
    provider = HsmProvider(TokenUri.parse(softhsm.uri()), lambda: pin)

    with pytest.raises(KeyProviderError, match="must have 1 to 255 characters"):
        provider.generate_key(Algorithm.ES256)


def test_names_the_token_that_is_missing(softhsm: SoftHsm) -> None:
    """And the one that is there twice."""
    missing = HsmProvider(TokenUri.parse(softhsm.uri(label="none")), lambda: PIN)
    softhsm.add_token(LABEL)

    with pytest.raises(KeyProviderError, match="has no token pkcs11:token=none"):
        missing.generate_key(Algorithm.ES256)
    with pytest.raises(KeyProviderError, match="has several tokens pkcs11:token=signing%20keys"):
        softhsm.provider().generate_key(Algorithm.ES256)


@pytest.mark.parametrize("name", ["none.so", "text.so"])
def test_names_the_module_that_is_none(tmp_path: Path, name: str) -> None:
    """It is not there, or no PKCS#11 module."""
    (tmp_path / "text.so").write_text("not a library")
    uri = TokenUri(tmp_path / name, "x")

    with pytest.raises(KeyProviderError, match=f"the module {tmp_path / name} cannot be used"):
        HsmProvider(uri, lambda: PIN).generate_key(Algorithm.ES256)


def test_a_module_that_does_not_come_back_is_not_waited_for(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for longer than the limit."""
    key, _ = softhsm.provider().generate_key(Algorithm.ES256)
    monkeypatch.setattr(hsm_token, "MODULE_TIMEOUT", 0.01)

    with hsm_token.module(softhsm.module_path).locked(), pytest.raises(KeyProviderError, match="has not answered"):
        key.signer.sign(b"{}")
