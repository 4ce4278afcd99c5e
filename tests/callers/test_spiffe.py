"""A caller is the one SPIFFE id of its certificate, or the id of the last hop that one header from the proxy names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from tests.support.authority import make_caller
from tokenauthority.callers.authenticator import PresentedCredentials
from tokenauthority.callers.identity import SpiffeIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers
from tokenauthority.callers.spiffe import ForwardedAuthenticator, PeerAuthenticator


ID = "spiffe://prod.example/ns/video/sa/room-service"
OTHER = "spiffe://prod.example/ns/video/sa/other"
CALLERS = CurrentCallers(
    CallerRegistry(
        [
            CallerEntry(make_caller("known"), SpiffeIdentity(ID)),
            CallerEntry(make_caller("other"), SpiffeIdentity(OTHER)),
        ]
    )
)


async def peer_is_known(context: Mapping[str, Iterable[bytes]], trust_domain: str = "") -> bool:
    """Whether there is a caller."""
    presented = PresentedCredentials(authorization=("Bearer x",), forwarded=(f"URI={ID}",), tls=lambda: context)
    return await PeerAuthenticator(CALLERS, trust_domain).authenticate(presented) is not None


def context(*ids: str, uris: Iterable[str] | None = None) -> dict[str, list[bytes]]:
    """What gRPC says of a peer with these names."""
    names = list(ids if uris is None else uris)
    return {
        "x509_subject_alternative_name": [ID.encode()],
        "peer_dns": [ID.encode()],
        "peer_spiffe_id": [name.encode() for name in ids],
        "peer_uri": [name.encode() for name in names],
    }


@pytest.mark.parametrize("trust_domain", ["", "prod.example"])
async def test_is_who_its_one_uri_says(trust_domain: str) -> None:
    """In any trust domain, or in the one that is set."""
    assert await peer_is_known(context(ID), trust_domain)


@pytest.mark.parametrize("trust_domain", ["other.example", "prod.exampl", "example", "prod.example.org"])
async def test_is_nobody_in_another_trust_domain(trust_domain: str) -> None:
    """A trust domain is compared whole."""
    assert not await peer_is_known(context(ID), trust_domain)


@pytest.mark.parametrize(
    "names",
    [
        {},
        context(),
        context(uris=[ID]),
        context(ID, uris=[]),
        context(ID, uris=[ID, "https://example.org"]),
        context(ID, ID),
        context("spiffe://prod.example/ns/video/sa/nobody"),
        context("spiffe://prod.example"),
        context(ID + "/"),
        context("SPIFFE://prod.example/ns/video/sa/room-service"),
        context(ID + "\u00e9"),
    ],
)
async def test_is_nobody_otherwise(names: Mapping[str, Iterable[bytes]]) -> None:
    """No certificate, no URI, several, one that is no SPIFFE id or not of a caller; no other name or header counts."""
    assert not await peer_is_known(names)


async def forwarded_caller(*forwarded: str | bytes) -> str:
    """The name of the caller, or the empty text."""
    caller = await ForwardedAuthenticator(CALLERS).authenticate(PresentedCredentials(forwarded=forwarded))
    return "" if caller is None else caller.name


@pytest.mark.parametrize(
    "header",
    [
        f"URI={ID}",
        f'uri="{ID}"',
        f'By=spiffe://prod.example/a;By=spiffe://prod.example/b;Hash=aa;Subject="";URI={ID};DNS=a;DNS=b',
        f"URI={OTHER},URI={ID}",
        f"URI={OTHER};URI={OTHER},URI={ID}",
        f"Hash=aa;URI=,URI={ID}",
    ],
)
async def test_the_last_hop_says_who_it_is(header: str) -> None:
    """Whatever the hops before it say."""
    assert "known" == await forwarded_caller(header)


@pytest.mark.parametrize(
    "header",
    [
        "URI=spiffe://prod.example/ns/video/sa/nobody",
        f"URI={ID},Hash=aa",
        f"URI={ID},URI=",
        f"URI={ID};URI={ID}",
        f"URI={ID};URI={OTHER}",
        f"By={ID}",
        f"DNS={ID}",
        f'Subject="URI={ID}"',
        f"URI={ID},URI={OTHER}x",
        f"URI={ID.upper()}",
        f"URI={ID}/",
        f"URI={ID};Oops=1",
        f'URI={ID},Subject="',
        "",
        "URI=spiffe://prod.example",
    ],
)
async def test_nobody_else_is_anyone(header: str) -> None:
    """No id, several ids, unknown ids, and headers that are odd anywhere."""
    assert "" == await forwarded_caller(header)


@pytest.mark.parametrize("forwarded", [(), (f"URI={ID}", f"URI={ID}"), (f"URI={ID}", "x"), (f"URI={ID}".encode(),)])
async def test_takes_exactly_one_header_of_text(forwarded: Sequence[str | bytes]) -> None:
    """Two headers leave it open whose is whose."""
    assert "" == await forwarded_caller(*forwarded)


async def test_looks_at_no_other_credential() -> None:
    """Neither what a bearer sends nor what TLS says counts here."""
    presented = PresentedCredentials(
        authorization=("Bearer x",), tls=lambda: {"peer_spiffe_id": [ID.encode()], "peer_uri": [ID.encode()]}
    )

    assert await ForwardedAuthenticator(CALLERS).authenticate(presented) is None
