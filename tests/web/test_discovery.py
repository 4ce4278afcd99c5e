"""The discovery document leads from the issuer alone to its keys."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.authority import NO_TRUST, StartAuthority
from tokenauthority.web.discovery import Discovery, prefixes


ISSUER = "https://tokens.example"


@pytest.mark.parametrize(
    ("issuer", "jwks_uri"),
    [
        (ISSUER, "https://tokens.example/.well-known/jwks.json"),
        (ISSUER + "/", "https://tokens.example/.well-known/jwks.json"),
        (ISSUER + ":8443/a/b", "https://tokens.example:8443/a/b/.well-known/jwks.json"),
        (ISSUER + "/a/b/", "https://tokens.example/a/b/.well-known/jwks.json"),
    ],
)
def test_leads_to_the_keys_of_the_issuer(start_authority: StartAuthority, issuer: str, jwks_uri: str) -> None:
    """The issuer as it is written, the address of its keys, and what else verifiers want to know; nothing more."""
    authority = start_authority(settings={"issuance": {"issuer": issuer}})

    answer = httpx.get(authority.http_url + "/.well-known/openid-configuration", verify=NO_TRUST)

    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "EdDSA", "RS256"],
    } == answer.json()


@pytest.mark.parametrize("document", ["openid-configuration", "jwks.json"])
@pytest.mark.parametrize("ending", ["", "/"])
def test_is_there_with_and_without_the_path_of_the_issuer(
    start_authority: StartAuthority, ending: str, document: str
) -> None:
    """A proxy in front may take the path away or leave it; other paths are not there."""
    authority = start_authority(settings={"issuance": {"issuer": f"{ISSUER}/a/b{ending}"}})

    answers = [
        httpx.get(f"{authority.http_url}{path}/.well-known/{document}", verify=NO_TRUST)
        for path in ("", "/a/b", "/a", "/b", "/a/b/c")
    ]

    assert [200, 200, 404, 404, 404] == [answer.status_code for answer in answers]
    assert answers[0].content == answers[1].content


def test_an_issuer_without_a_path_has_no_second_place() -> None:
    """With or without a slash."""
    assert ("",) == prefixes(ISSUER) == prefixes(ISSUER + "/")


def test_the_tag_is_that_of_the_document() -> None:
    """Strong, the same for the same issuer and another one for one that differs by a slash."""
    first, again, other = (Discovery.for_issuer(issuer).etag for issuer in (ISSUER, ISSUER, ISSUER + "/"))

    assert re.fullmatch(r'"[0-9a-f]{64}"', first)
    assert first == again != other
