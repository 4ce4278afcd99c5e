"""API keys have one shape, and only their digest is stored."""

from __future__ import annotations

import hashlib
import re

import pytest

from tokenauthority.callers.api_keys import digest, is_api_key, is_digest, new_api_key


KEY = "tak_" + "A" * 43


def test_makes_keys_of_256_random_bits() -> None:
    """Every key has the shape, and no two are alike."""
    keys = {new_api_key() for _ in range(100)}

    assert 100 == len(keys)
    assert all(re.fullmatch(r"tak_[A-Za-z0-9_-]{43}", key) and is_api_key(key) for key in keys)


NEARLY = (
    "",
    "tak_",
    KEY[:-1],
    KEY + "A",
    KEY + "\n",
    " " + KEY,
    KEY.upper(),
    "tak_" + "\u0661" * 43,
    "tak_" + "A" * 42 + "=",
    "tak_" + "A" * 42 + "+",
    "A" * 47,
)


@pytest.mark.parametrize("text", NEARLY)
def test_knows_what_is_no_key(text: str) -> None:
    """Nothing near it passes: other lengths, alphabets, cases, padding."""
    assert not is_api_key(text)


def test_the_digest_is_sha256_in_hex() -> None:
    """As the README and `callers new-key` show operators."""
    assert hashlib.sha256(KEY.encode("ascii")).hexdigest() == digest(KEY)
    assert is_digest(digest(KEY))


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "\u0661" * 64])
def test_knows_what_is_no_digest(text: str) -> None:
    """64 lower-case hex characters and nothing else."""
    assert not is_digest(text)
