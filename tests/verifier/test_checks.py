"""The offline verifier and VerifyToken say the same of every SESSION_JWT."""

from __future__ import annotations

import json
import time

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.signing.builders import b64url
from tests.support.authority import RunningAuthority
from tests.verifier.conftest import Bench, StartVerifier, becomes
from tokenauthority.client import Verification
from tokenauthority.domain.times import Millis
from tokenauthority.signing.jose import decode_segment
from tokenauthority.verifier import Verdict, Verifier


NOW = int(time.time())


def said(verdict: Verdict | Verification) -> tuple[object, ...]:
    """All of a verdict but the words for a person."""
    return verdict.active, verdict.reason, verdict.claims


@attrs.define
class Both:
    """The two who judge."""

    bench: Bench
    verifier: Verifier

    def agree(self, token: str, reason: str, **asked: Any) -> None:
        """Require that both say *reason*, and the same of what the token says."""
        ours, theirs = self.verifier.verify(token, **asked), self.bench.client.verify_token(token, **asked)
        assert reason == ours.reason
        assert said(theirs) == said(ours)
        assert bool(theirs) is bool(ours)


@pytest.fixture
def both(bench: Bench, start_verifier: StartVerifier) -> Both:
    """A verifier, and the authority that it is of; their clock is the test's."""
    bench.running.clock.fixed = Millis(NOW * 1000)
    return Both(bench, start_verifier(bench.running))


def set_clock(both: Both, second: int) -> None:
    """Set the clock of both."""
    both.bench.running.clock.fixed = Millis(second * 1000)


def test_a_valid_token_is_valid(both: Both) -> None:
    """With everything that a token can say."""
    session = both.bench.client.create_session()
    token = session.generate_token(
        role="moderator", data="é\n😀", subject="alice", initial_layout_class_list=["a", "b"], ttl=60
    )

    both.agree(str(token), "", session_id=session.session_id, required_permissions=["force_mute", "PUBLISH"])


def test_a_token_may_be_given_as_the_client_made_it(both: Both) -> None:
    """`str(token)` need not be written."""
    token = both.bench.client.create_session().generate_token()

    assert both.verifier.verify(token).active


def test_each_reason_is_the_authoritys(both: Both) -> None:
    """Of a token that is for another session and lacks a permission the session is told, and so on."""
    session = both.bench.client.create_session()
    token = str(session.generate_token(role="subscriber"))
    head, _, signature = token.partition(".")

    both.agree(token, "SESSION_MISMATCH", session_id="2_other", required_permissions=["publish"])
    both.agree(token, "PERMISSION_MISSING", required_permissions=["subscribe", "publish"])
    both.agree("nonsense", "MALFORMED")
    both.agree("é" + token, "MALFORMED")
    both.agree(f"{token}=", "MALFORMED")
    both.agree(f"{head}.{signature[:-4]}AAAA", "SIGNATURE_INVALID")
    both.bench.client.end_session(session.session_id)
    becomes(both.verifier, token, "SESSION_ENDED")
    both.agree(token, "SESSION_ENDED", session_id="2_other")
    both.bench.revoke(session_id=session.session_id)
    becomes(both.verifier, token, "REVOKED")
    both.agree(token, "REVOKED", session_id="2_other")
    set_clock(both, NOW + 2 * 86_400)
    both.agree(token, "EXPIRED", session_id="2_other")


@pytest.mark.parametrize(
    ("moved", "reason"),
    [(-31, "NOT_YET_VALID"), (-30, ""), (89, ""), (90, "EXPIRED")],
    ids=["too-early", "early", "late", "too-late"],
)
def test_clocks_may_differ_by_the_leeway(both: Both, moved: int, reason: str) -> None:
    """By 30 seconds either way, and not by one more."""
    token = str(both.bench.client.create_session().generate_token(ttl=60))

    set_clock(both, NOW + moved)

    both.agree(token, reason)


def test_the_leeway_can_be_set(bench: Bench, start_verifier: StartVerifier) -> None:
    """To none: a token is over when it says."""
    bench.running.clock.fixed = Millis(NOW * 1000)
    strict = start_verifier(bench.running, leeway=0)
    token = bench.client.create_session().generate_token(ttl=60)

    bench.running.clock.fixed = Millis((NOW + 60) * 1000)

    assert "EXPIRED" == strict.verify(token).reason


def test_checks_only_tokens_of_its_own_projects(bench: Bench, start_verifier: StartVerifier) -> None:
    """The keys are the same for all, so that another project's token has a good signature."""
    stranger = start_verifier(bench.running, project_ids=["1"])
    token = bench.client.create_session().generate_token()

    verdict = stranger.verify(token)

    assert (False, "PROJECT_UNKNOWN", None) == said(verdict)


@pytest.mark.parametrize("token_format", ["opentok_t1", "opentok_jwt"])
def test_other_formats_are_for_the_authority(both: Both, token_format: str) -> None:
    """They are signed with a secret that no verifier has; the answer says whom to ask."""
    token = both.bench.client.create_session().generate_token(format=token_format)

    verdict = both.verifier.verify(token)

    assert (False, "KEY_UNKNOWN", None) == said(verdict)
    assert (
        f"an {token_format.upper()} is signed with its project's own key: VerifyToken can verify it" == verdict.detail
    )


@pytest.mark.parametrize("names", [["publish", "fly"], "publish"], ids=["unknown", "text"])
def test_a_permission_that_does_not_exist_is_an_error(verifier: Verifier, names: Any) -> None:
    """Misspelt, it would else be missing from every token, or spelt letter by letter."""
    with pytest.raises(ValueError, match="required_permissions"):
        verifier.verify("", required_permissions=names)


@pytest.mark.parametrize("token", [b"eyJ", None, 7, ["eyJ"]], ids=["bytes", "None", "int", "list"])
def test_a_token_of_a_wrong_type_is_an_error(verifier: Verifier, token: Any) -> None:
    """It is a mistake of the program, and no invalid token."""
    with pytest.raises(TypeError, match="token must be str or Token, not"):
        verifier.verify(token)
    with pytest.raises(TypeError, match="session_id must be str"):
        verifier.verify("eyJ", session_id=token)


def test_no_text_makes_it_raise(both: Both) -> None:
    """Also not one that no encoding has: whoever presents a token decides what it holds."""
    for token in ("\ud800", "T1==\udcff", "eyJ\ud800.e30.AA", "\0"):
        both.agree(token, "MALFORMED")


def _flipped(token: str, place: int) -> str:
    place %= len(token)
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def _with(part: int, changes: Mapping[str, object]) -> Callable[[str], str]:
    """The token with other members in its header or payload, under its old signature."""

    def change(token: str) -> str:
        segments = token.split(".")
        members = {**json.loads(decode_segment(segments[part].encode(), "segment")), **changes}
        segments[part] = b64url(json.dumps(members).encode())
        return ".".join(segments)

    return change


_VALUES = st.one_of(st.none(), st.integers(), st.booleans(), st.text(max_size=20), st.lists(st.text(max_size=5)))
_HEADER = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x"])
_CLAIMS = st.sampled_from(["iss", "aud", "exp", "iat", "jti", "session_id", "role", "permissions", "scope", "sub", "x"])

mutations: st.SearchStrategy[Callable[[str], str]] = st.one_of(
    st.integers(0, 4000).map(lambda place: lambda token: _flipped(token, place)),
    st.integers(0, 1200).map(lambda length: lambda token: token[:length]),
    st.sampled_from([".", "=", "A", "\n", " ", "\x00", "é"]).map(lambda more: lambda token: token + more),
    st.sampled_from([0, 1]).map(lambda part: lambda token: ".".join(token.split(".")[part : part + 2])),
    st.dictionaries(_HEADER, _VALUES, min_size=1, max_size=2).map(lambda changes: _with(0, changes)),
    st.dictionaries(_CLAIMS, _VALUES, min_size=1, max_size=2).map(lambda changes: _with(1, changes)),
    st.sampled_from(["none", "HS256", "EdDSA", "RS256"]).map(lambda name: _with(0, {"alg": name})),
)


@pytest.fixture
def tokens(both: Both) -> list[str]:
    """Good ones, and some that were revoked in each way; what was done has arrived at the verifier."""
    client, bench = both.bench.client, both.bench
    sessions = [client.create_session() for _ in range(3)]
    made = [str(sessions[0].generate_token(role=role, ttl=60)) for role in ("subscriber", "moderator")]
    one = str(sessions[0].generate_token(data="one"))
    of_alice = str(sessions[0].generate_token(subject="alice"))
    of_taken, of_ended = (str(session.generate_token()) for session in sessions[1:])
    bench.revoke(token=one)
    bench.revoke(subject="alice")
    bench.revoke(session_id=sessions[1].session_id)
    client.end_session(sessions[2].session_id)
    becomes(both.verifier, of_ended, "SESSION_ENDED")
    return [*made, one, of_alice, of_taken, of_ended]


def test_both_agree_on_whatever_comes(both: Both, tokens: list[str]) -> None:
    """Tokens as they were made and changed in every part, at any time, with anything asked of them."""
    seen = set()

    @settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
    @given(
        token=st.sampled_from(tokens),
        mutate=st.booleans().flatmap(lambda changed: mutations if changed else st.just(str)),
        moved=st.sampled_from([0, 0, 0, -31, 89, 90, 2 * 86_400]),
        session_id=st.sampled_from(["", "", "2_other"]),
        required=st.lists(st.sampled_from(["publish", "force_mute"]), max_size=2),
    )
    def agree(token: str, mutate: Callable[[str], str], moved: int, session_id: str, required: list[str]) -> None:
        set_clock(both, NOW + moved)
        changed = mutate(token)
        if not changed:
            return
        asked = {"session_id": session_id, "required_permissions": required}
        ours = both.verifier.verify(changed, **asked)  # type: ignore[arg-type]  # the two are as they should be
        theirs = both.bench.client.verify_token(changed, **asked)  # type: ignore[arg-type]  # likewise
        seen.add(ours.reason)

        assert said(theirs) == said(ours)

    agree()

    assert {"", "MALFORMED", "SIGNATURE_INVALID", "REVOKED", "EXPIRED", "NOT_YET_VALID"} <= seen


def test_a_verifier_shows_nothing_secret(running_authority: RunningAuthority, start_verifier: StartVerifier) -> None:
    """Its repr has neither the key nor what tokens say."""
    verifier = start_verifier(running_authority)

    assert running_authority.api_key not in repr(verifier)
    assert repr(verifier).startswith(f"Verifier('{running_authority.address}', Status(synced=True, stale=False, age=")
