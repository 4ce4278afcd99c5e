"""Verify under the fuzzer for a moment; `make fuzz` runs it for as long as one likes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.authority.world import World
from tests.fuzzing.cases import Case, make_case
from tests.fuzzing.judge import may_be_valid
from tests.fuzzing.run import Flaw, ask, require_right
from tests.fuzzing.target import make_target
from tokenauthority.authority.verify import VerificationResult
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import InactiveReason


@pytest.fixture
async def target() -> World:
    """What is fuzzed."""
    return await make_target()


async def test_whatever_comes_gets_the_right_verdict(target: World) -> None:
    """No error, a reason with each refusal, and only what the judge lets pass is valid.

    The cases reach every verdict, each several times: else the test would say little.
    """
    verdicts: Counter[InactiveReason | None] = Counter()
    for seed in range(6000):
        case = make_case(seed)
        verdict = await ask(target, case)
        verdicts[verdict.reason] += 1

        require_right(case, verdict)

    # No project of the world is disabled.
    assert {None, *InactiveReason} - {InactiveReason.PROJECT_DISABLED} == set(verdicts)
    assert min(verdicts.values()) >= 3


def test_a_seed_makes_one_case() -> None:
    """A failure can be had again."""
    assert [make_case(seed) for seed in range(300)] == [make_case(seed) for seed in range(300)]


async def test_the_judge_knows_the_valid_tokens(target: World) -> None:
    """And is invalid for another session or for more than it permits."""
    cases = [case for case in map(make_case, range(2000)) if case.valid]

    assert len(cases) > 50
    for case in cases:
        assert may_be_valid(case.token, case.session_id, ())
        assert not may_be_valid(case.token, "another", ())
        assert not may_be_valid(case.token[:-3] + "AAA", "", ())


@pytest.mark.parametrize(
    ("verdict", "valid", "expected"),
    [
        (VerificationResult(), False, "is called valid"),
        (VerificationResult(reason=InactiveReason.EXPIRED, detail="x"), True, "a valid token is called EXPIRED"),
        (VerificationResult(reason=InactiveReason.EXPIRED), False, "no detail"),
        (VerificationResult(reason=InactiveReason.MALFORMED, detail="x" * 400), False, "something of the token"),
    ],
)
def test_a_wrong_verdict_is_found(verdict: VerificationResult, *, valid: bool, expected: str) -> None:
    """What the fuzzer looks for, it sees."""
    case = Case(seed=0, kind="random", token="x", required=(Permission.PUBLISH,), valid=valid)

    with pytest.raises(Flaw, match=expected):
        require_right(case, verdict)
