"""A caller is found by its key and by nothing else."""

from __future__ import annotations

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tests.authority import make_caller
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.authenticator import ApiKeyAuthenticator


KEYS = {name: new_api_key() for name in ("first", "second", "last")}
AUTHENTICATOR = ApiKeyAuthenticator({digest(key): make_caller(name) for name, key in KEYS.items()})


@pytest.mark.parametrize("name", KEYS)
async def test_finds_the_caller_of_a_key(name: str) -> None:
    """Wherever it stands in the file."""
    caller = await AUTHENTICATOR.authenticate(KEYS[name])

    assert caller is not None
    assert name == caller.name


async def test_knows_no_other_key() -> None:
    """A key of the right shape that nobody was given."""
    assert await AUTHENTICATOR.authenticate(new_api_key()) is None


async def test_a_digest_is_no_credential() -> None:
    """Whoever reads the callers file cannot call with what it holds."""
    assert await AUTHENTICATOR.authenticate(digest(KEYS["first"])) is None


@given(st.text(st.characters(exclude_categories=())))
async def test_takes_any_text(text: str) -> None:
    """No text is a caller, and none makes it fail: not lone surrogates, not NUL, not other digits."""
    assert await AUTHENTICATOR.authenticate(text) is None


async def test_without_callers_knows_nobody() -> None:
    """An empty table lets nobody in."""
    assert await ApiKeyAuthenticator({}).authenticate(new_api_key()) is None
