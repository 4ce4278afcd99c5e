"""A peer is the one SPIFFE id of its certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tests.support.authority import make_caller
from tokenauthority.callers.authenticator import PresentedCredentials
from tokenauthority.callers.identity import SpiffeIdentity
from tokenauthority.callers.peer import PeerAuthenticator
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers


ID = "spiffe://prod.example/ns/video/sa/room-service"
CALLERS = CurrentCallers(CallerRegistry([CallerEntry(make_caller("known"), SpiffeIdentity(ID))]))


async def found(context: Mapping[str, Iterable[bytes]], trust_domain: str = "") -> bool:
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
    assert await found(context(ID), trust_domain)


@pytest.mark.parametrize("trust_domain", ["other.example", "prod.exampl", "example", "prod.example.org"])
async def test_is_nobody_in_another_trust_domain(trust_domain: str) -> None:
    """A trust domain is compared whole."""
    assert not await found(context(ID), trust_domain)


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
    assert not await found(names)
