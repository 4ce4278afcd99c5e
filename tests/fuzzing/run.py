"""Asks VerifyToken about a case, and says what is wrong with the answer."""

from __future__ import annotations

import attrs

from tests.authority.world import NOW, World
from tests.fuzzing.cases import Case
from tests.fuzzing.judge import may_be_valid
from tests.fuzzing.target import GRANT
from tokenauthority.authority.verify import VerificationResult


@attrs.frozen
class Flaw(Exception):  # noqa: N818 - what the fuzzer looks for, and no error of its own
    """An answer that VerifyToken may not give."""

    text: str


async def ask(world: World, case: Case) -> VerificationResult:
    """The verdict about *case*."""
    return await world.verify.check(case.token, GRANT, NOW, session_id=case.session_id, required=case.required)


def require_right(case: Case, verdict: VerificationResult) -> None:
    """Hold the verdict to what the judge says.

    Raises:
        Flaw: an invalid token was called valid or a valid one invalid, or there is no reason or detail.
    """
    if verdict.reason is None and not may_be_valid(case.token, case.session_id, case.required):
        raise Flaw("a token that nobody made, or that is not valid, is called valid")
    if verdict.reason is not None and case.valid:
        raise Flaw(f"a valid token is called {verdict.reason}: {verdict.detail}")
    if verdict.reason is not None and not verdict.detail:
        raise Flaw(f"no detail says why it is {verdict.reason}")
    if verdict.reason is not None and len(verdict.detail) > MAX_DETAIL:
        raise Flaw("the detail is long: it has something of the token in it")


MAX_DETAIL = 200
"""Characters. A detail names fields and rules, and nothing that came in."""
