"""Each field of the callers file gives its caller or issuer what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydantic import BaseModel

from tests.callers.callers_file import DIGEST, JWT, OTHER, entry, issuer, load, load_registry
from tokenauthority.callers.api_keys import digest, new_api_key
from tokenauthority.callers.file_models import CallersDocument, CallerTable, IssuerTable, JwtTable
from tokenauthority.callers.identity import ApiKeyIdentity, Issuer, JwtIdentity, SpiffeIdentity
from tokenauthority.domain.caller import ANY, Action, Caller, CallerKind, Grant, Rate
from tokenauthority.domain.times import Seconds
from tokenauthority.domain.token_format import TokenFormat


def test_reads_every_field(tmp_path: Path) -> None:
    """The caller is found by the digest of its key and has exactly what is written."""
    expected = Caller(
        name="room-service",
        kind=CallerKind.API_KEY,
        identity=f"sha256:{DIGEST[:16]}",
        grant=Grant(
            projects=frozenset({"47000000", "48000000"}),
            actions=frozenset({Action.SESSIONS_CREATE, Action.TOKENS_GENERATE}),
            roles=frozenset({"subscriber", "publisher"}),
            formats=frozenset({TokenFormat.SESSION_JWT}),
            max_ttl=Seconds(3600),
        ),
    )

    assert {ApiKeyIdentity(DIGEST): expected} == load(tmp_path, entry())


def test_reads_several_callers(tmp_path: Path) -> None:
    """Each with its own key."""
    other = digest(new_api_key())
    found = load(tmp_path, entry() + entry(name='"other"', api_key_sha256=f'"{other}"'))

    assert {ApiKeyIdentity(DIGEST): "room-service", ApiKeyIdentity(other): "other"} == {
        identity: caller.name for identity, caller in found.items()
    }


def test_a_star_is_everything(tmp_path: Path) -> None:
    """Of projects, actions, roles and formats."""
    star = '["*"]'
    (caller,) = load(tmp_path, entry(projects=star, actions=star, roles=star, formats=star)).values()
    everything = frozenset({ANY})

    assert (everything, frozenset(Action), everything, everything) == (
        caller.grant.projects,
        caller.grant.actions,
        caller.grant.roles,
        caller.grant.formats,
    )


def test_what_is_left_out_grants_no_role_and_any_format(tmp_path: Path) -> None:
    """A caller that makes no tokens needs no roles; formats and lifetime are then the contract's."""
    lines = entry(actions='["sessions.read"]', roles=None, formats=None, max_ttl=None)
    (caller,) = load(tmp_path, lines).values()

    assert (frozenset(), frozenset({ANY}), 30 * 86400) == (
        caller.grant.roles,
        caller.grant.formats,
        caller.grant.max_ttl,
    )


def test_a_vonage_application_is_one_in_either_case(tmp_path: Path) -> None:
    """An id is compared in lower case; what is left out grants none."""
    application = "29F760F8-7ce1-46c9-ade3-f2dedee4ed5f"
    (named,) = load(tmp_path, entry(vonage_applications=f'["{application}"]')).values()
    (none,) = load(tmp_path, entry()).values()

    assert (frozenset({application.lower()}), frozenset()) == (
        named.grant.vonage_applications,
        none.grant.vonage_applications,
    )


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("30d", 2592000)])
def test_reads_lifetimes(tmp_path: Path, text: str, seconds: int) -> None:
    """Seconds, minutes, hours and days."""
    (caller,) = load(tmp_path, entry(max_ttl=f'"{text}"')).values()

    assert seconds == caller.grant.max_ttl


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("200/s", Rate(200.0, 200)),
        ("50/m", Rate(50 / 60, 50)),
        ("7200/h", Rate(2.0, 7200)),
        ("86400/d", Rate(1.0, 86400)),
    ],
)
def test_reads_rates(tmp_path: Path, text: str, rate: Rate) -> None:
    """By second, minute, hour and day; all of one period may come at once, unless a burst says otherwise."""
    (caller,) = load(tmp_path, entry(rate=f'"{text}"')).values()
    (other,) = load(tmp_path, entry(rate=f'"{text}"', burst="7", daily_quota="100")).values()

    assert (rate, None) == (caller.grant.rate, caller.grant.daily_quota)
    assert (Rate(rate.per_second, 7), 100) == (other.grant.rate, other.grant.daily_quota)


def test_two_keys_are_one_caller(tmp_path: Path) -> None:
    """While one replaces the other, both are valid; they differ in what the audit log shows of them."""
    found = load(tmp_path, entry(api_key_sha256=f'["{DIGEST}", "{OTHER}"]'))

    assert {
        ApiKeyIdentity(DIGEST): ("room-service", f"sha256:{DIGEST[:16]}"),
        ApiKeyIdentity(OTHER): ("room-service", f"sha256:{OTHER[:16]}"),
    } == {identity: (caller.name, caller.identity) for identity, caller in found.items()}


def test_the_example_of_the_design_is_valid(tmp_path: Path) -> None:
    """A SPIFFE id and a rate; it is found by that id."""
    spiffe_id = "spiffe://prod.example/ns/video/sa/room-service"
    found = load_registry(tmp_path, entry(api_key_sha256=None, spiffe_id=f'"{spiffe_id}"', rate='"200/s"'))
    caller = found.find_caller(SpiffeIdentity(spiffe_id))

    assert caller is not None
    assert ("room-service", CallerKind.SPIFFE, spiffe_id) == (caller.name, caller.kind, caller.identity)


@pytest.mark.parametrize("spiffe_id", [
    "spiffe://a/b", "spiffe://a.b-c_d.1/x", "spiffe://a/B/c.D_e-f", "spiffe://a/...", "spiffe://a/.b", "spiffe://a/b..",
    "spiffe://" + "a" * 255 + "/b", "spiffe://a/" + "b" * 2037,
])  # fmt: skip
def test_takes_spiffe_ids(tmp_path: Path, spiffe_id: str) -> None:
    """All that the specification allows a workload."""
    assert {SpiffeIdentity(spiffe_id)} == set(load(tmp_path, entry(api_key_sha256=None, spiffe_id=f'"{spiffe_id}"')))


def test_reads_a_caller_who_sends_jwts(tmp_path: Path) -> None:
    """With its issuer, whose files are beside the callers file."""
    text = issuer(ca_file='"ca.pem"', token_file='"/var/run/token"') + entry(api_key_sha256=None, jwt=JWT)
    found = load_registry(tmp_path, text)
    caller = found.find_caller(JwtIdentity("https://issuer.example", "system:serviceaccount:video:rooms"))

    assert caller is not None
    assert CallerKind.JWT is caller.kind
    assert "https://issuer.example system:serviceaccount:video:rooms" == caller.identity
    assert (
        Issuer(
            issuer="https://issuer.example",
            audience="tokenauthority",
            algorithms=("ES256", "RS256"),
            jwks_url="https://issuer.example/jwks",
            ca_file=tmp_path / "ca.pem",
            token_file=Path("/var/run/token"),
        )
        == found.find_issuer("https://issuer.example")
    )  # fmt: skip
    assert found.find_issuer("https://issuer.example/") is None


@pytest.mark.parametrize(
    "url", ["https://a", "https://a:8443/x?y=z", "http://127.0.0.1:9/x", "http://127.9.9.9/", "http://[::1]:9/", "http://localhost/"]
)  # fmt: skip
def test_takes_https_and_plaintext_on_loopback(tmp_path: Path, url: str) -> None:
    """Keys that anyone on the way could change would prove nothing."""
    (found,) = load_registry(tmp_path, issuer(jwks_url=f'"{url}"') + entry()).issuers

    assert url == found.jwks_url


@pytest.mark.parametrize("model", [CallersDocument, CallerTable, IssuerTable, JwtTable])
def test_describes_every_field(model: type[BaseModel]) -> None:
    """Messages and the reference quote the description of a field."""
    assert {True} == {(field.description or "").endswith(".") for field in model.model_fields.values()}


def test_has_a_json_schema() -> None:
    """Editors and checks of other tools can read it."""
    caller = CallersDocument.model_json_schema()["$defs"]["CallerTable"]

    assert {"*", *Action} == set(caller["properties"]["actions"]["items"]["enum"])
    assert ["name", "projects", "actions"] == caller["required"]
    assert caller["additionalProperties"] is False
