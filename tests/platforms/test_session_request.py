"""The request is that of the official SDKs: the form of the options, and a credential that lives for minutes."""

from __future__ import annotations

from urllib.parse import parse_qs

import jwt

from jwt.types import Options

from tests.authority.world import rsa_pem
from tests.storage.builders import make_project
from tokenauthority.domain.session import ArchiveMode, MediaMode, SessionSpec
from tokenauthority.domain.times import Millis
from tokenauthority.platforms.session_request import create_request, signing_key
from tokenauthority.signing.project_keys import ProjectKeys, ProjectSecret, VonageKey


NOW = Millis(1_800_000_000_123)
OLD, NEW = ProjectSecret("sec_1", "a" * 40), ProjectSecret("sec_2", "b" * 40)
OF_ANY_TIME: Options = {"verify_exp": False, "verify_iat": False}
APPLICATION = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
PROJECT = make_project("123456", platform_url="https://platform.example/base")
EVERYTHING = SessionSpec(
    media_mode=MediaMode.ROUTED,
    archive_mode=ArchiveMode.ALWAYS,
    location="12.34.56.78",
    e2ee=True,
    archive_name="my ~arch&ive_é",
    archive_resolution="1280x720",
)


def test_the_newest_secret_signs_for_minutes() -> None:
    """As OpenTok documents it: HS256, `iss`, `ist`, at most five minutes; `iat` is not in the platform's future."""
    key = signing_key(PROJECT, ProjectKeys("123456", (NEW, OLD)))
    assert key is NEW
    request = create_request(PROJECT, key, SessionSpec(), now=NOW, jti="j")
    claims = jwt.decode(request.headers["x-opentok-auth"], NEW.value, ["HS256"], options=OF_ANY_TIME)

    assert {"iss": "123456", "ist": "project", "iat": 1_799_999_970, "exp": 1_800_000_090, "jti": "j"} == claims
    assert "authorization" not in request.headers
    assert ("POST", "https://platform.example/base/session/create") == (request.method, request.url)
    assert "application/json" == request.headers["accept"]


def test_an_application_is_known_by_its_key() -> None:
    """Vonage Video takes a bearer token of the application."""
    vonage = VonageKey.from_pem("vkey_1", APPLICATION, rsa_pem())
    project = make_project("5", vonage_application_id=APPLICATION, platform_url="https://video.example")
    key = signing_key(project, ProjectKeys("5", (), vonage))
    assert key is vonage
    request = create_request(project, key, SessionSpec(), now=NOW, jti="j")
    bearer = request.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(bearer, vonage.private_key.public_key(), ["RS256"], options=OF_ANY_TIME)

    assert {"application_id": APPLICATION, "iat": 1_799_999_970, "exp": 1_800_000_090, "jti": "j"} == claims
    assert "x-opentok-auth" not in request.headers


def test_sends_every_option_by_its_name() -> None:
    """Nothing of a value can become another field."""
    request = create_request(PROJECT, NEW, EVERYTHING, now=NOW, jti="j")

    assert {
        "archiveMode": ["always"],
        "p2p.preference": ["disabled"],
        "location": ["12.34.56.78"],
        "e2ee": ["true"],
        "archiveName": ["my ~arch&ive_é"],
        "archiveResolution": ["1280x720"],
    } == parse_qs(request.body.decode(), strict_parsing=True)


def test_leaves_out_what_is_not_set() -> None:
    """The platform may refuse an empty field."""
    request = create_request(PROJECT, NEW, SessionSpec(), now=NOW, jti="j")

    assert b"archiveMode=manual&p2p.preference=enabled" == request.body


def test_shows_no_credential() -> None:
    """A log of the request would else hold what creates sessions."""
    request = create_request(PROJECT, NEW, SessionSpec(), now=NOW, jti="j")

    assert request.headers["x-opentok-auth"] not in repr(request)
