"""Behind a side-car the caller is the id of the last hop, where exactly one header says exactly one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.authority import make_caller
from tokenauthority.callers.authenticator import PresentedCredentials
from tokenauthority.callers.forwarded import ForwardedAuthenticator
from tokenauthority.callers.identity import SpiffeIdentity
from tokenauthority.callers.registry import CallerEntry, CallerRegistry, CurrentCallers


ID = "spiffe://prod.example/ns/video/sa/room-service"
OTHER = "spiffe://prod.example/ns/video/sa/other"
AUTHENTICATOR = ForwardedAuthenticator(
    CurrentCallers(
        CallerRegistry(
            [
                CallerEntry(make_caller("known"), SpiffeIdentity(ID)),
                CallerEntry(make_caller("other"), SpiffeIdentity(OTHER)),
            ]
        )
    )
)


async def found(*forwarded: str | bytes) -> str:
    """The name of the caller, or the empty text."""
    caller = await AUTHENTICATOR.authenticate(PresentedCredentials(forwarded=forwarded))
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
    assert "known" == await found(header)


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
    assert "" == await found(header)


@pytest.mark.parametrize("forwarded", [(), (f"URI={ID}", f"URI={ID}"), (f"URI={ID}", "x"), (f"URI={ID}".encode(),)])
async def test_takes_exactly_one_header_of_text(forwarded: Sequence[str | bytes]) -> None:
    """Two headers leave it open whose is whose."""
    assert "" == await found(*forwarded)


async def test_looks_at_no_other_credential() -> None:
    """Neither what a bearer sends nor what TLS says counts here."""
    presented = PresentedCredentials(
        authorization=("Bearer x",), tls=lambda: {"peer_spiffe_id": [ID.encode()], "peer_uri": [ID.encode()]}
    )

    assert await AUTHENTICATOR.authenticate(presented) is None
