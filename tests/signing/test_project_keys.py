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


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a" * 31,
        "a" * 256,
        "é" * 40,
        " " + "a" * 39,
        "a" * 40 + "\n",
        "ssh-rsa" + "a" * 40,
        "a" * 40 + "ecdsa-sha2-nistp256",
    ],
)
def test_a_project_secret_is_of_base64_characters(value: str) -> None:
    """Anything else is refused, without being shown."""
    with pytest.raises(ValueError, match=r"^a project secret is 40 hex characters, or one of LiveKit or Jitsi$"):
        ProjectSecret("s", value)


@pytest.mark.parametrize("value", ["a" * 32, "A-z_09+/=" * 28, "9" * 255])
def test_a_secret_of_a_server_signs(value: str) -> None:
    """LiveKit's have 43 characters of base 62."""
    secret = ProjectSecret("APIx", value)

    token = secret.named_signer.sign(b"{}")[0]

    assert {} == jwt.decode(token, value, algorithms=["HS256"])
    assert "APIx" == jwt.get_unverified_header(token)["kid"]


@pytest.mark.parametrize("value", ["1" * 40, "E" * 40, "1e" + "9" * 38])
def test_a_secret_that_looks_like_a_number_is_a_secret(value: str) -> None:
    """Digits alone, which PyJWT's look for JWKs parses as JSON, sign and verify, and case is kept."""
    secret = ProjectSecret("s", value)

    assert {} == jwt.decode(secret.signer.sign(b"{}")[0], value, algorithms=["HS256"])
