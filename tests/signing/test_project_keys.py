"""Project secrets and Vonage keys: what they accept and what they refuse."""

from __future__ import annotations

import jwt
import pytest

from cryptography.hazmat.primitives.serialization import (
    PrivateFormat,
)

from tests.signing.builders import APPLICATION, VONAGE, VONAGE_PEM, pem
from tokenauthority.signing.project_keys import ProjectSecret, VonageKey


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("around", ["{}", "\n{}\n", "some text\n{}"])
def test_a_vonage_key_is_imported(form: PrivateFormat, around: str) -> None:
    """PKCS#8 or PKCS#1, as it comes out of the file."""
    text = around.format(pem(VONAGE.private_key, form))

    key = VonageKey.from_pem("vonage-key", APPLICATION.upper(), text)

    assert VONAGE == key
    assert VONAGE == VonageKey.from_der("vonage-key", APPLICATION, key.to_der())
    assert VONAGE.to_der() == key.to_der()


@pytest.mark.parametrize("application_id", ["", "78d335fa", APPLICATION + "0", "../" + APPLICATION])
def test_a_vonage_application_id_is_a_uuid(application_id: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="UUID"):
        VonageKey.from_pem("k", application_id, VONAGE_PEM)


@pytest.mark.parametrize("value", ["", "a" * 39, "a" * 41, "g" * 40, "é" * 40, " " + "a" * 39, "a" * 40 + "\n"])
def test_a_project_secret_is_40_hex_characters(value: str) -> None:
    """Anything else is refused, without being shown."""
    with pytest.raises(ValueError, match=r"^a project secret is 40 hex characters$"):
        ProjectSecret("s", value)


@pytest.mark.parametrize("value", ["1" * 40, "E" * 40, "1e" + "9" * 38])
def test_a_secret_that_looks_like_a_number_is_a_secret(value: str) -> None:
    """Digits alone, which PyJWT's look for JWKs parses as JSON, sign and verify, and case is kept."""
    secret = ProjectSecret("s", value)

    assert {} == jwt.decode(secret.signer.sign(b"{}")[0], value, algorithms=["HS256"])
