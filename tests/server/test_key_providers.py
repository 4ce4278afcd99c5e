"""A server names what stops its key provider from signing, and what to install."""

from __future__ import annotations

import subprocess
import sys

from tests.support.authority import clean_environment
from tests.support.production import Production
from tests.support.softhsm import PIN, SoftHsm


def test_says_at_once_what_keeps_it_from_signing(production: Production, softhsm: SoftHsm) -> None:
    """The setting, the cause and what is missing, without a PIN and without a traceback."""
    production.start(KEYS__PROVIDER=softhsm.uri()).stop()
    pin = softhsm.directory / "wrong-pin"
    pin.write_text("hunter2-4711")
    uri = softhsm.uri()
    no_module = softhsm.directory / "none.so"

    said = [
        production.fail(KEYS__PROVIDER=uri.replace("/pin", "/wrong-pin")),
        production.fail(KEYS__PROVIDER=uri.replace(str(softhsm.module_path), str(no_module))),
        production.fail(KEYS__PROVIDER=softhsm.uri(label="other")),
        production.fail(),
        production.fail(KEYS__PROVIDER=uri.replace("/pin", "/no-pin")),
        production.fail(KEYS__PROVIDER=f"{uri}&pin-value=hunter2-4711"),
        production.fail(KEYS__PROVIDER=uri, KEYS__PROVIDER_PIN="hunter2-4711"),
    ]
    softhsm.leave()
    said.append(production.fail(KEYS__PROVIDER=uri))

    expected = [
        "the token pkcs11:token=signing%20keys refuses the PIN: PinIncorrect",
        f"the module {no_module} cannot be used",
        "is not in the token pkcs11:token=other",
        "and this server is set to no such provider",
        "no-pin is not a file",
        "must not have pin-value",
        "exactly one of TOKENAUTHORITY_KEYS__PROVIDER_PIN and pin-source",
        f"the module {softhsm.module_path} cannot be used: GeneralError",
    ]
    assert [(2, True, True, False, False, False)] * 8 == [
        (
            status,
            "TOKENAUTHORITY_KEYS__PROVIDER" in log,
            text in log,
            PIN in log,
            "hunter2" in log,
            "Traceback" in log,
        )
        for (status, log), text in zip(said, expected, strict=True)
    ], said


def test_a_new_ring_needs_the_hsm(production: Production, softhsm: SoftHsm) -> None:
    """The first key is not made elsewhere instead."""
    status, log = production.fail(KEYS__PROVIDER=softhsm.uri(label="other"))

    assert (2, True) == (status, "has no token pkcs11:token=other" in log)


def test_without_the_extra_it_says_what_to_install(softhsm: SoftHsm) -> None:
    """Whoever does not use an HSM needs none of it."""
    program = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from tokenauthority.config.loading import ConfigError\n"
        "from tokenauthority.config.settings import Settings\n"
        "from tokenauthority.server.key_providers import provider_of\n"
        "import tokenauthority.server.main\n"
        "try: provider_of(Settings.model_validate({'keys': {'provider': sys.argv[1]}}))\n"
        "except ConfigError as error: print(error.problems)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, softhsm.uri()],
        env=clean_environment(),
        capture_output=True,
        check=True,
        text=True,
    )

    assert "pip install 'tokenauthority[server,pkcs11]'" in done.stdout
