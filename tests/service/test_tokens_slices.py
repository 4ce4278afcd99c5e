"""A batch has one share of the event loop for all its steps, and it begins once the items are charged."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.authority.world import NOW, make_world
from tests.support.authority import make_caller
from tokenauthority.audit.record import AuditRecord
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.domain.caller import Caller
from tokenauthority.service import tokens
from tokenauthority.service.items import EncodedItems, items_reader
from tokenauthority.service.rpc import Rpc
from tokenauthority.v1 import token_pb2 as pb


async def test_all_steps_of_a_batch_have_one_share_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of their own could follow each other without a pause. To be charged may take a while, and is no step."""
    shares: list[TimeSlice] = []
    at_charge: list[int] = []

    def share() -> TimeSlice:
        shares.append(TimeSlice())
        return shares[-1]

    async def charge(_: Caller, items: int) -> None:
        at_charge.append(len(shares))

    monkeypatch.setattr(tokens, "TimeSlice", share)
    world, nothing = await make_world(), cast("Any", None)
    servicer = tokens.TokenServicer(world.generate, nothing, nothing, nothing, nothing, charge)
    batch = pb.BatchGenerateTokensRequest(requests=[pb.TokenRequest(session_id=world.session.session_id)] * 3)
    items = items_reader(pb.BatchGenerateTokensRequest.DESCRIPTOR, 3)(batch.SerializeToString())
    rpc = Rpc(make_caller(), AuditRecord(time="", request_id="r", method="/m", peer="p"), NOW)
    answer = await servicer.batch_generate_tokens(cast("EncodedItems[pb.TokenRequest]", items), rpc)

    assert 3 == len(pb.BatchGenerateTokensResponse.FromString(answer).tokens)
    assert ([0], 1) == (at_charge, len(shares))
