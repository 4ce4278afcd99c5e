"""User names and passwords of TURN credentials are what every TURN server with the secret computes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.domain.ids import MAX_PROJECT_ID
from tokenauthority.domain.times import Seconds
from tokenauthority.signing.turn import TurnSigner


SECRETS = st.text("ABCxyz019+/=._~-", min_size=32, max_size=255)
PROJECTS = st.integers(1, MAX_PROJECT_ID).map(str)
SUBJECTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255)
MOMENTS = st.integers(1_700_000_000, 9_999_999_999).map(Seconds)
SIGNER = TurnSigner("s" * 32)


@given(SECRETS, PROJECTS, SUBJECTS, MOMENTS)
def test_a_user_name_is_the_expiry_and_a_pseudonym(secret: str, project: str, subject: str, moment: Seconds) -> None:
    """Whatever the subject is: coturn refuses spaces, quotes and words of SQL, and STUN more than 508 bytes."""
    username = TurnSigner(secret).username(project, subject, moment)

    assert re.fullmatch(rf"{moment}:[0-9a-f]{{32}}", username, re.ASCII)


@given(SECRETS, PROJECTS, SUBJECTS, MOMENTS)
def test_a_password_is_the_hmac_of_the_user_name(secret: str, project: str, subject: str, moment: Seconds) -> None:
    """As draft-uberti-behave-turn-rest-00 says, section 2.2: SHA-1, in base64 with padding."""
    signer = TurnSigner(secret)
    username = signer.username(project, subject, moment)

    expected = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()

    assert expected == base64.b64decode(signer.password(username), validate=True)


@given(SECRETS, SECRETS, MOMENTS)
def test_another_secret_makes_another_password(one: str, other: str, moment: Seconds) -> None:
    """And another pseudonym, so that nothing of the user name is known to who has not the secret."""
    names = {secret: TurnSigner(secret).username("1", "alice", moment) for secret in {one, other}}
    passwords = {TurnSigner(secret).password("1:a") for secret in {one, other}}

    assert len({one, other}) == len(set(names.values())) == len(passwords)


@given(st.tuples(PROJECTS, SUBJECTS), st.tuples(PROJECTS, SUBJECTS), MOMENTS, MOMENTS)
def test_the_pseudonym_is_that_of_the_subject_in_its_project(
    one: tuple[str, str], other: tuple[str, str], now: Seconds, later: Seconds
) -> None:
    """The same at any time, and of nobody else."""
    pseudonyms = [SIGNER.username(*who, at).partition(":")[2] for who, at in ((one, now), (one, later), (other, now))]

    assert pseudonyms[0] == pseudonyms[1]
    assert (one == other) == (pseudonyms[0] == pseudonyms[2])


def test_no_pseudonym_gives_a_password_away() -> None:
    """A subject that looks like a user name would else answer with the password of that name."""
    username = SIGNER.username("1800000000", "alice", Seconds(1_800_000_000))

    password = base64.b64decode(SIGNER.password("1800000000:alice")).hex()

    assert password[:32] != username.partition(":")[2]


def test_a_known_answer() -> None:
    """Computed with `printf %s NAME | openssl dgst -sha1 -hmac SECRET -binary | base64`."""
    assert "TIaHRNkws/BwdnUQtrNiaMdKjYg=" == TurnSigner("0123456789abcdef0123456789abcdef").password("1800000000:alice")
