"""Calls that are reset as soon as they are made (CVE-2023-44487) neither fill the log nor keep others out."""

from __future__ import annotations

import contextlib
import json

from tests.security import http2
from tests.support.authority import StartAuthority, eventually
from tests.support.wire import LIST_PROJECTS, Connect, records
from tokenauthority.callers.api_keys import new_api_key


BURST = 10
AT_ONCE = 50
RESETS = 5000


def test_a_stream_of_resets_is_bounded_and_others_are_served(start_authority: StartAuthority, connect: Connect) -> None:
    """Calls that are answered, that are reset under way, and that are reset at once: few lines, the others counted.

    What gRPC itself drops never gets to us. The next caller is served while the connection of the flood is open.
    """
    authority = start_authority(settings={"limits": {"failed_auth_burst": BURST, "failed_auth_rate": 0.001}})
    caller = connect(authority)
    # A caller who is known is never held back for what others at its address do.
    caller.call(LIST_PROJECTS)
    block = http2.header_block(LIST_PROJECTS, {"authorization": f"Bearer {new_api_key()}"})
    streams = iter(range(1, 2**31, 2))
    with contextlib.closing(http2.Connection(authority.address)) as flood:
        flood.send(b"".join(http2.call(next(streams), block) for _ in range(AT_ONCE)))
        eventually(lambda: flood.answered == AT_ONCE, "the calls are not answered")
        for _ in range(20):
            _reset_under_way(flood, block, [next(streams) for _ in range(AT_ONCE)])
        taken = [flood.send(http2.call(s, block) + http2.reset(s)) for s in (next(streams) for _ in range(RESETS))]
        served = caller.call(LIST_PROJECTS)
    in_flight = "tokenauthority_rpcs_in_flight"
    eventually(lambda: authority.app.registry.get_sample_value(in_flight) == 0, "calls stay open")
    authority.do(authority.app.refusal_summarizer.flush())
    every = [json.loads(line) for line in authority.audit_path.read_bytes().splitlines()]

    assert taken[0]
    assert "OK" == served.code
    assert BURST == len([record for record in records(authority.audit_path) if "caller" not in record])
    assert sum(line["count"] for line in every if line["type"] == "summary") >= AT_ONCE + 20 - BURST


def _reset_under_way(flood: http2.Connection, block: bytes, streams: list[int]) -> None:
    before = flood.answered
    flood.send(b"".join(http2.call(stream, block) for stream in streams))
    eventually(lambda: flood.answered > before, "none of the calls is answered")
    flood.send(b"".join(map(http2.reset, streams)))
