"""`keys.provider`: what it lacks is said with everything else, and no PIN shows in any of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenauthority.config.loading import ConfigError, describe, problems_of, read
from tokenauthority.config.settings import Settings


URI = "pkcs11:token=x?module-path=/usr/lib/hsm.so"
ONE = "exactly one of TOKENAUTHORITY_KEYS__PROVIDER_PIN and pin-source in TOKENAUTHORITY_KEYS__PROVIDER is required"


def test_a_pin_in_the_uri_is_refused_before_anything_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """`config show` and every message would show it."""
    monkeypatch.setenv("TOKENAUTHORITY_KEYS__PROVIDER", f"{URI}&pin-value=hunter2")

    with pytest.raises(ConfigError, match=r"KEYS__PROVIDER \(keys.provider in the file\) must not have") as caught:
        read()

    assert "hunter2" not in str(caught.value)


def test_the_pin_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting for it is a secret; the URI is none."""
    monkeypatch.setenv("TOKENAUTHORITY_KEYS__PROVIDER", URI)
    monkeypatch.setenv("TOKENAUTHORITY_KEYS__PROVIDER_PIN", "hunter2")

    settings = read()

    shown = {name: value for name, value, _ in describe(settings)}
    assert (URI, "**********") == (
        shown["TOKENAUTHORITY_KEYS__PROVIDER"],
        shown["TOKENAUTHORITY_KEYS__PROVIDER_PIN"],
    )
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, []),
        ({"provider": URI, "provider_pin": "hunter2"}, []),
        ({"provider": f"{URI}&pin-source=PIN"}, []),
        ({"provider": URI}, [ONE]),
        ({"provider": f"{URI}&pin-source=PIN", "provider_pin": "hunter2"}, [ONE]),
        (
            {"provider": f"{URI}&pin-source=PIN.none"},
            ["TOKENAUTHORITY_KEYS__PROVIDER (pin-source): PIN.none is not a file"],
        ),
        (
            {"provider_pin": "hunter2"},
            ["TOKENAUTHORITY_KEYS__PROVIDER_PIN is for TOKENAUTHORITY_KEYS__PROVIDER, which is not set"],
        ),
    ],
)
def test_the_pin_is_in_one_place(tmp_path: Path, keys: dict[str, str], expected: list[str]) -> None:
    """Neither in none nor in two, and its file must be one that can be read."""
    pin = tmp_path / "pin"
    pin.touch()
    settings = Settings.model_validate(
        {"dev": True, "keys": {name: value.replace("PIN", str(pin)) for name, value in keys.items()}}
    )

    assert [problem.replace("PIN.none", f"{pin}.none") for problem in expected] == problems_of(settings)
