"""JANUS: what Janus reads of a token, and what VerifyToken reads of it; no token can be read in two ways."""

from __future__ import annotations

import base64
import hashlib
import hmac

from collections.abc import Callable

import pytest

from tests.signing.builders import NOW, PROJECT, SECRET, SESSION, make_claims, make_token, rejection, verify
from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.token import InactiveReason
from tokenauthority.domain.token_format import TokenFormat


JANUS = TokenFormat.JANUS
SIGNED = (
    f"{NOW + 3600},janus.plugin.videoroom,room=standup,project={PROJECT},iat={NOW},jti=a1b2c3,role=publisher"
    ",sub=alice,data=a%3Db%2Croom%3Dlunch%3A%C3%A9"
)


def signed(text: str, secret: str = SECRET.value) -> str:
    """A token with any signed part, by the standard library alone."""
    mac = hmac.digest(secret.encode(), text.encode(), hashlib.sha1)
    return f"{text}:{base64.b64encode(mac).decode()}"


def test_a_token_is_this_text() -> None:
    """As Janus reads it; what a person chooses can add no descriptor."""
    said = make_claims(JANUS, data="a=b,room=lunch:é")

    assert signed(SIGNED) == make_token(JANUS, said, room="standup").token


def test_what_is_said_is_read() -> None:
    """All of it."""
    claims = verify(signed(SIGNED)).claims

    assert ("standup", "alice", "a=b,room=lunch:é", "a1b2c3") == (
        claims.session_id,
        claims.subject,
        claims.data,
        claims.token_id,
    )
    assert ("publisher", BUILT_IN_ROLES["publisher"].permissions) == (claims.role, claims.permissions)
    assert (NOW, NOW + 3600, PROJECT) == (claims.issue_time, claims.expire_time, claims.project_id)


@pytest.mark.parametrize("subject", ["", "alice"])
@pytest.mark.parametrize("data", ["", "name=alice"])
def test_subject_and_data_are_there_each_by_itself(subject: str, data: str) -> None:
    """What is not said is left out."""
    said = verify(make_token(JANUS, make_claims(JANUS, subject=subject, data=data)).token).claims

    assert (subject, data) == (said.subject, said.data)


def test_without_a_name_the_room_is_the_session() -> None:
    """And neither subject nor data need be there."""
    token = make_token(JANUS, make_claims(JANUS, subject="")).token

    assert f",room={SESSION}," in token
    assert (SESSION, "", "") == (
        verify(token).claims.session_id,
        verify(token).claims.subject,
        verify(token).claims.data,
    )


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace(",room=standup", ",room=standup,room=lunch"),
        lambda text: text.replace(",room=standup", ""),
        lambda text: text.replace("room=standup", "room=" + "x" * 256),
        lambda text: text.replace("room=standup", "room=%00"),
        lambda text: text.replace("videoroom,", "videoroom,room=lunch,"),
        lambda text: text.replace("jti=a1b2c3,", ""),
        lambda text: text.replace("role=publisher", "role=moderator"),
        lambda text: text.replace("role=publisher", "role=Own"),
        lambda text: text.replace(f"project={PROJECT}", "project=0"),
        lambda text: text.replace("sub=alice", "sub="),
        lambda text: text.replace("sub=alice", "sub=" + "x" * 256),
        lambda text: text.replace("sub=alice", "sub=%61lice"),
        lambda text: text.replace("%C3%A9", "%c3%a9"),
        lambda text: text.replace("%C3%A9", "%C3"),
        lambda text: text.replace("%C3%A9", "é"),
        lambda text: text + ",more=1",
        lambda text: "0" + text,
        lambda text: text.replace(str(NOW), "-1"),
    ],
)
def test_a_signed_text_of_another_shape_is_malformed(changed: Callable[[str], str]) -> None:
    """Janus would take some of them, of whoever has the secret: another room, or no id by which to revoke."""
    assert changed(SIGNED) != SIGNED

    assert InactiveReason.MALFORMED is rejection(verify, signed(changed(SIGNED)))


@pytest.mark.parametrize("signature", ["", "AAAA", "A" * 26 + "B=", "A" * 28, "A" * 27 + "=="])
def test_a_signature_of_another_shape_is_malformed(signature: str) -> None:
    """One text for 20 bytes: with stray bits there would be several."""
    assert InactiveReason.MALFORMED is rejection(verify, f"{SIGNED}:{signature}")


def test_another_secret_is_refused() -> None:
    """SIGNATURE_INVALID."""
    assert InactiveReason.SIGNATURE_INVALID is rejection(verify, signed(SIGNED, "f" * 40))
