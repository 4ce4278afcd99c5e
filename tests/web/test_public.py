"""The public listener shows the public keys, and nothing else."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.authority import NO_TRUST, RunningAuthority, StartAuthority
from tests.support.memory_store import MemoryStore
from tests.support.wire import V1, Wire
from tokenauthority.domain.key import Algorithm
from tokenauthority.v1 import key_pb2


JWKS = "/.well-known/jwks.json"
DISCOVERY = "/.well-known/openid-configuration"
DOCUMENTS = (JWKS, DISCOVERY)


def get(authority: RunningAuthority, path: str, **headers: str) -> httpx.Response:
    """Ask the HTTP listener; header names have _ for -."""
    return httpx.get(
        authority.http_url + path, headers={k.replace("_", "-"): v for k, v in headers.items()}, verify=NO_TRUST
    )


def test_publishes_the_public_keys(running_authority: RunningAuthority) -> None:
    """RFC 7517 JSON, cacheable for as long as the settings say, readable by browsers, and public members only."""
    answer = get(running_authority, JWKS)
    key, _ = answer.json()["keys"]

    assert (200, "application/json", "public, max-age=300", "*") == (
        answer.status_code,
        answer.headers["content-type"],
        answer.headers["cache-control"],
        answer.headers["access-control-allow-origin"],
    )
    assert {"kty", "use", "alg", "kid", "crv", "x", "y"} == set(key)
    assert ("EC", "sig", "ES256", "P-256") == (key["kty"], key["use"], key["alg"], key["crv"])


@pytest.mark.parametrize("algorithm", Algorithm)
def test_publishes_no_private_member(start_authority: StartAuthority, algorithm: Algorithm) -> None:
    """Of no kind of key, neither by HTTP nor by gRPC (RFC 7518, section 6: d, p, q, dp, dq, qi, oth, k)."""
    authority = start_authority(settings={"keys": {"algorithm": algorithm}})
    key, _ = get(authority, JWKS).json()["keys"]

    own = {"ES256": {"crv", "x", "y"}, "EdDSA": {"crv", "x"}, "RS256": {"n", "e"}}[algorithm]
    assert {"kty", "use", "alg", "kid"} | own == key.keys()
    assert ("sig", algorithm) == (key["use"], key["alg"])
    assert {"kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"} == set(key_pb2.JsonWebKey.DESCRIPTOR.fields_by_name)


def test_publishes_the_same_keys_as_grpc(running_authority: RunningAuthority, wire: Wire) -> None:
    """Whoever verifies may take either."""
    answer = wire.call(V1 + "KeyService/GetJsonWebKeySet", key_pb2.GetJsonWebKeySetRequest())
    by_grpc = key_pb2.GetJsonWebKeySetResponse.FromString(answer.body)

    assert json.loads(by_grpc.json) == get(running_authority, JWKS).json()


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_cache_lifetime_is_a_setting(start_authority: StartAuthority, path: str) -> None:
    """In seconds."""
    authority = start_authority(settings={"issuance": {"jwks_max_age": 7}})

    assert "public, max-age=7" == get(authority, path).headers["cache-control"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_the_cache_lifetime_is_what_the_source_says_now(
    running_authority: RunningAuthority, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It is asked at every request; keys that change at once are asked for at every use."""
    ages = iter([299, 1, 0])
    monkeypatch.setattr(running_authority.app.readiness, "jwks_max_age", lambda: next(ages))

    answers = [get(running_authority, path).headers["cache-control"] for _ in range(3)]

    assert ["public, max-age=299", "public, max-age=1", "no-cache"] == answers


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"other",{tag},"more"', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
        ("{bare}", 200),
    ],
)
def test_answers_not_modified_to_whoever_has_the_keys(
    running_authority: RunningAuthority, path: str, asked: str, status: int
) -> None:
    """RFC 9110: weak comparison, lists and the star; with the tag, the lifetime and CORS, and without a body."""
    tag = get(running_authority, path).headers["etag"]
    answer = get(running_authority, path, if_none_match=asked.format(tag=tag, bare=tag.strip('"')))

    assert (status, tag, "public, max-age=300", "*") == (
        answer.status_code,
        answer.headers["etag"],
        answer.headers["cache-control"],
        answer.headers["access-control-allow-origin"],
    )
    assert (status == 304) == (answer.content == b"")


def test_the_tag_is_that_of_the_keys(start_authority: StartAuthority) -> None:
    """Strong, and another one for other keys."""
    first, second = (get(start_authority(), JWKS).headers["etag"] for _ in range(2))

    assert first != second
    assert first.startswith('"')
    assert first.endswith('"')


@pytest.mark.parametrize("path", DOCUMENTS)
def test_answers_head(running_authority: RunningAuthority, path: str) -> None:
    """The same headers without the body."""
    answer = httpx.head(running_authority.http_url + path, verify=NO_TRUST)

    assert (200, b"") == (answer.status_code, answer.content)
    assert get(running_authority, path).headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/.well-known/", "/readyz/x", "/.well-known/jwks", "/.well-known/oauth-authorization-server"],
)
def test_has_nothing_else(running_authority: RunningAuthority, path: str) -> None:
    """Other paths are not there."""
    assert 404 == get(running_authority, path).status_code


@pytest.mark.parametrize("path", DOCUMENTS)
def test_answers_the_preflight_of_a_browser(running_authority: RunningAuthority, path: str) -> None:
    """A page that sends any header of its own asks before. Nothing else answers OPTIONS."""
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization,cache-control"}
    answer = httpx.options(running_authority.http_url + path, headers={"origin": "https://app.example", **asked})

    assert (204, b"", "*") == (answer.status_code, answer.content, answer.headers["access-control-allow-origin"])
    assert {"*", "authorization"} <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert "GET" in answer.headers["access-control-allow-methods"].split(", ")
    for other in ("/livez", "/readyz", "/metrics"):
        assert 405 == httpx.options(running_authority.http_url + other, headers=asked).status_code


def test_takes_no_other_methods(running_authority: RunningAuthority) -> None:
    """Nothing can be sent to it."""
    codes = {
        (path, method): httpx.request(method, running_authority.http_url + path, verify=NO_TRUST).status_code
        for path in (JWKS, DISCOVERY)
        for method in ("POST", "PUT", "DELETE", "PATCH")
    }

    assert {405} == set(codes.values())


def test_does_not_say_what_serves_it(running_authority: RunningAuthority) -> None:
    """No server header tells a stranger which versions to look up."""
    assert "server" not in get(running_authority, JWKS).headers


def test_a_key_set_that_lacks_a_key_of_other_servers_is_not_cached(start_authority: StartAuthority) -> None:
    """They may sign with the key, whose master key this server lacks."""
    store = MemoryStore()
    authority = start_authority(store=store)
    store.execute("UPDATE signing_keys SET sealed = ? WHERE state = 'prepared'", b"\x02unknown." + bytes(60))
    authority.do(authority.app.keys.refresh())

    assert "no-cache" == get(authority, JWKS).headers["cache-control"]
