"""How clients are made, and what they show of themselves."""

from __future__ import annotations

import pytest

from tokenauthority.client import Authority


KEY = "tak_" + "k" * 43


def test_a_client_needs_credentials() -> None:
    """A health check alone may go without."""
    with pytest.raises(ValueError, match="no credentials: set api_key, token_file or credentials"):
        Authority("localhost:1")


def test_shows_itself_without_the_key() -> None:
    """A repr ends in logs."""
    with Authority("localhost:1", api_key=KEY, project_id="47", plaintext=True) as authority:
        assert "Authority('localhost:1', project_id='47')" == repr(authority)
        assert KEY not in repr(authority._connection)
