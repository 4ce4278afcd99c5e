"""The forms of the official SDKs ask for what their users asked for."""

from __future__ import annotations

import contextlib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.v1.session_pb2 import (
    ARCHIVE_MODE_ALWAYS,
    ARCHIVE_MODE_MANUAL,
    MEDIA_MODE_RELAYED,
    MEDIA_MODE_ROUTED,
    CreateSessionRequest,
)
from tokenauthority.web.opentok_form import create_session_request


RELAYED = CreateSessionRequest(media_mode=MEDIA_MODE_RELAYED, archive_mode=ARCHIVE_MODE_MANUAL)
ROUTED = CreateSessionRequest(media_mode=MEDIA_MODE_ROUTED, archive_mode=ARCHIVE_MODE_MANUAL)
ALWAYS = CreateSessionRequest(media_mode=MEDIA_MODE_ROUTED, archive_mode=ARCHIVE_MODE_ALWAYS)
ENCRYPTED = CreateSessionRequest(media_mode=MEDIA_MODE_ROUTED, archive_mode=ARCHIVE_MODE_MANUAL, e2ee=True)
FULL = b"p2p.preference=disabled&archiveMode=always&location=12.34.56.78&archiveResolution=1280x720"
NAMED = CreateSessionRequest(
    media_mode=MEDIA_MODE_ROUTED,
    archive_mode=ARCHIVE_MODE_ALWAYS,
    location="12.34.56.78",
    archive_name="my ~arch-ive_é",
    archive_resolution="1280x720",
)


def violations(form: bytes) -> set[str]:
    """The fields for which *form* is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        create_session_request(form)
    return {each.field for each in caught.value.violations}


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        (b"p2p.preference=enabled&archiveMode=manual&e2ee=false", RELAYED),  # Python
        (b"archiveMode=manual&p2p.preference=enabled", RELAYED),  # Node
        (b"p2p.preference=enabled", RELAYED),  # Ruby
        (b"archiveMode=manual&e2ee=false&p2p.preference=enabled&api_key=47000000", RELAYED),  # PHP
        (b"location=&p2p.preference=enabled&archiveMode=manual&e2ee=False", RELAYED),  # .NET
        (b"archiveMode=manual&location=null&p2p.preference=disabled", ROUTED),  # Vonage's Node
        (b"p2p.preference=always&media_mode=relayed", RELAYED),  # Vonage's Python
        (b"p2p.preference=disabled&location=localhost", ROUTED),  # .NET
        (b"archiveName=&archiveMode=always&archiveResolution=&p2p.preference=disabled&e2ee=False", ALWAYS),  # .NET
        (b"p2p.preference=disabled&e2ee=True", ENCRYPTED),
        (b"", ROUTED),  # the default of REST
        (FULL + b"&archiveName=my+%7Earch-ive_%C3%A9", NAMED),  # Java, Node
        (FULL + b"&archiveName=my%20~arch-ive_%C3%A9", NAMED),  # Ruby
    ],
)
def test_reads_what_each_sdk_sends(form: bytes, asked: CreateSessionRequest) -> None:
    """In every spelling: `~` or `%7E`, a space as `+` or `%20`, empty fields, fields that only some SDKs know."""
    assert asked == create_session_request(form)


@pytest.mark.parametrize("field", ["archiveMode=always", "e2ee=true"])
def test_what_needs_the_media_router_is_routed(field: str) -> None:
    """Ruby's SDK sends its default, relayed, beside `always`, and PHP's beside `e2ee`, if a program leaves it open."""
    assert MEDIA_MODE_ROUTED == create_session_request(f"{field}&p2p.preference=enabled".encode()).media_mode


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (b"p2p.preference=routed&archiveMode=sometimes&e2ee=1", {"p2p.preference", "archiveMode", "e2ee"}),
        (b"archiveMode=manual&archiveMode=always", {"archiveMode"}),
        (b"location=1.2.3.4&location=1.2.3.4&e2ee=true&e2ee=false", {"location", "e2ee"}),
        (b"archiveName=%FF", {"body"}),
        (b"\xff", {"body"}),
        (b"&".join([b"x=1"] * 65), {"body"}),
    ],
)
def test_refuses_what_could_mean_two_things(form: bytes, fields: set[str]) -> None:
    """And names every field of it."""
    assert fields == violations(form)


@given(st.binary(max_size=200))
def test_takes_any_bytes(form: bytes) -> None:
    """Nothing makes it fail in another way."""
    with contextlib.suppress(InvalidRequestError):
        create_session_request(form)
