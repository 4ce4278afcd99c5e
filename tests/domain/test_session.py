"""Sessions: which combinations of options OpenTok forbids."""

from __future__ import annotations

import itertools

from typing import Any

import pytest

from tokenauthority.domain.session import (
    ArchiveMode,
    MediaMode,
    SessionSpec,
    SessionState,
    StoredSession,
    spec_violations,
)
from tokenauthority.domain.times import Millis


NOW = Millis(1_800_000_000_123)
UUID = "6f1c0a52-0000-4000-8000-000000000001"
ROUTED = {"media_mode": MediaMode.ROUTED}
ALWAYS = {**ROUTED, "archive_mode": ArchiveMode.ALWAYS}


def fields_of(values: dict[str, Any], request_id: str = "") -> list[str]:
    """The bad fields of a spec with *values*."""
    return [violation.field for violation in spec_violations(SessionSpec(**values), request_id)]


@pytest.mark.parametrize(
    ("media_mode", "archive_mode", "e2ee"), list(itertools.product(MediaMode, ArchiveMode, (False, True))), ids=str
)
def test_allows_exactly_the_combinations_of_the_contract(
    media_mode: MediaMode, archive_mode: ArchiveMode, *, e2ee: bool
) -> None:
    """ALWAYS needs ROUTED; end-to-end encryption needs ROUTED and not ALWAYS."""
    routed, always = media_mode is MediaMode.ROUTED, archive_mode is ArchiveMode.ALWAYS
    allowed = (routed or not always) and (not e2ee or (routed and not always))

    bad = fields_of({"media_mode": media_mode, "archive_mode": archive_mode, "e2ee": e2ee})

    assert allowed == (not bad)


@pytest.mark.parametrize(
    "values",
    [
        {"location": "12.34.56.78"},
        {**ALWAYS, "archive_name": "x"},
        {**ALWAYS, "archive_name": "\N{GRINNING FACE}" * 80},
        *(
            {**ALWAYS, "archive_resolution": size}
            for size in ("640x480", "480x640", "1280x720", "720x1280", "1920x1080", "1080x1920")
        ),
    ],
    ids=repr,
)
def test_takes_what_is_at_the_limit(values: dict[str, Any]) -> None:
    """Legal values are legal."""
    assert [] == fields_of(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"location": "1.2"}, ["location"]),
        ({"location": "localhost"}, ["location"]),
        ({**ALWAYS, "archive_name": "x" * 81}, ["archive_name"]),
        ({**ALWAYS, "archive_name": "a\x00b"}, ["archive_name"]),
        ({**ROUTED, "archive_name": "x"}, ["archive_name"]),
        ({**ROUTED, "archive_resolution": "640x480"}, ["archive_resolution"]),
        ({**ALWAYS, "archive_resolution": "800x600"}, ["archive_resolution"]),
    ],
    ids=repr,
)
def test_refuses_what_is_beyond_the_limit(values: dict[str, Any], expected: list[str]) -> None:
    """Each rule names its field."""
    assert expected == fields_of(values)


@pytest.mark.parametrize(
    ("request_id", "expected"), [("", []), (UUID, []), (UUID.upper(), []), ("no-uuid", ["request_id"])]
)
def test_a_request_id_is_a_uuid(request_id: str, expected: list[str]) -> None:
    """It may be left out, or is a UUID."""
    assert expected == fields_of({}, request_id)


def test_ending_twice_changes_nothing() -> None:
    """A session that is over keeps the moment when it ended."""
    session = StoredSession(session_id="2_x", project_id="1", spec=SessionSpec(), create_time=NOW)

    once = session.ended(Millis(NOW + 1))

    assert (SessionState.ENDED, NOW + 1) == (once.state, once.end_time)
    assert once is once.ended(Millis(NOW + 2))
