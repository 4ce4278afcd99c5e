"""When the state of a verifier is complete and current enough to start with."""

from __future__ import annotations

import pytest

from tests.support.authority import WAIT
from tests.verifier.scripted import Hours
from tokenauthority.domain.revocation_index import RevocationIndex
from tokenauthority.signing.jose import SignatureVerifier
from tokenauthority.signing.jwks_reader import JwksKey
from tokenauthority.verifier import NotSyncedError
from tokenauthority.verifier.state import KeySet, VerifierState


def test_what_was_closed_has_not_begun_though_all_is_there() -> None:
    """Else whoever started it would go on with what knows nothing more."""
    state = VerifierState(lambda: 0.0)
    state.set_keys(KeySet(fetched=0.0, max_age=300))
    state.confirm_index(RevocationIndex(b"k" * 16), 0.0)
    state.wait_until_synced(WAIT, 60)
    state.close()

    with pytest.raises(NotSyncedError, match="it was closed"):
        state.wait_until_synced(WAIT, 60)


def test_what_is_too_old_has_not_begun() -> None:
    """A start that returned with it would be followed by nothing but STALE."""
    hours = Hours()
    state = VerifierState(hours)
    state.confirm_index(RevocationIndex(b"k" * 16), hours())
    hours.passed = 40
    state.set_keys(KeySet(fetched=hours(), max_age=300))

    with pytest.raises(NotSyncedError, match="no answer within 0 seconds"):
        state.wait_until_synced(0, 30)
    state.wait_until_synced(0, 40)


def test_an_error_is_one_line_without_control_characters() -> None:
    """It is logged, and the other end may have chosen its text."""
    state = VerifierState(lambda: 0.0)
    state.report_failure("WatchRevocations", Exception("first\nINFO second \x1b[2J\u202e"))

    assert state.last_error.isprintable()
    assert r"first\nINFO second \x1b[2J\u202e" in state.last_error


def test_texts_of_the_authority_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither an error nor the ids of keys: a broken authority may send a megabyte, and line ends."""
    state = VerifierState(lambda: 0.0)
    state.report_failure("WatchRevocations", Exception("x" * 1_000_000))
    key = JwksKey("k", {}, SignatureVerifier({}))
    with caplog.at_level("INFO"):
        state.set_keys(KeySet(keys={f"{number}\n" + "x" * 250: key for number in range(100)}))

    assert len(state.last_error) < 400
    assert all(line.isprintable() and len(line) < 3000 for line in caplog.messages)
    assert 2 == len(caplog.messages)
