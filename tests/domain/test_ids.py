"""Ids: what has the shape of one, what a session id says, and to whom it belongs."""

from __future__ import annotations

import base64

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenauthority.domain import ids
from tokenauthority.domain.ids import (
    MAX_PROJECT_ID,
    MAX_SESSION_ID,
    either_spelling,
    is_ipv4,
    is_project_id,
    is_role_name,
    is_uuid,
    make_revocation_id,
    make_session_id,
    other_spelling,
    project_in_session_id,
)
from tokenauthority.domain.times import Millis


UUID = "29f760f8-7ce1-46c9-ade3-f2dedee4ed5f"
NOW = Millis(1_800_000_000_123)


def encoded(fields: str, prefix: str = "2_") -> str:
    """A session id that says *fields*."""
    return prefix + base64.urlsafe_b64encode(fields.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("text", ["1", "47000000", "2147483647"])
def test_takes_project_ids_that_every_sdk_takes(text: str) -> None:
    """A decimal number from 1 to 2147483647 is a project id."""
    assert is_project_id(text)


@pytest.mark.parametrize(
    "text", ["", "0", "01", "-1", "+1", " 1", "1 ", "1\n", "1.0", "1e3", "2147483648", "99999999999", "१", "²", UUID]
)
def test_refuses_other_project_ids(text: str) -> None:
    """Anything else is none: no zero, sign, blank, leading zero, other digits, nor a number beyond 31 bits."""
    assert not is_project_id(text)


@pytest.mark.parametrize("text", ["a", "host", "a-1_b", "a" * 63])
def test_takes_role_names(text: str) -> None:
    """A role's name has 1 to 63 of a-z, 0-9, - and _, and starts with a letter."""
    assert is_role_name(text)


@pytest.mark.parametrize("text", ["", "a" * 64, "1a", "_a", "-a", "Host", "a b", "a\n", "höst", "a.b", "*"])
def test_refuses_other_role_names(text: str) -> None:
    """Anything else is no role's name."""
    assert not is_role_name(text)


@pytest.mark.parametrize("text", ["0.0.0.1", "12.34.56.78", "255.255.255.255"])
def test_takes_ipv4_addresses(text: str) -> None:
    """Four decimal bytes are an address."""
    assert is_ipv4(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2",
        "1.2.3",
        "1.2.3.4.",
        ".1.2.3.4",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.4\n",
        "::1",
        "a.b.c.d",
        "1..2.3",
    ],
)
def test_refuses_other_addresses(text: str) -> None:
    """Anything else is none, also what `inet_aton` would take."""
    assert not is_ipv4(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UUID, True),
        (UUID.upper(), True),
        (UUID[:-1], False),
        (UUID + "0", False),
        ("g" + UUID[1:], False),
        (UUID.replace("-", ""), False),
        ("{" + UUID + "}", False),
    ],
)
def test_knows_a_uuid(text: str, *, expected: bool) -> None:
    """A UUID has its usual form, in either case."""
    assert expected == is_uuid(text)


@settings(deadline=None)
@given(
    number=st.integers(1, MAX_PROJECT_ID),
    location=st.one_of(st.just(""), st.ip_addresses(v=4).map(str)),
    relayed=st.booleans(),
    now=st.integers(0, 2**43),
    random=st.binary(min_size=18, max_size=18),
)
def test_a_new_session_id_has_the_shape_of_the_contract(
    number: int, location: str, now: int, random: bytes, *, relayed: bool
) -> None:
    """It is `2_` and unpadded base64url of the seven fields, at most 255 characters long."""
    made = make_session_id(str(number), location, relayed=relayed, now=Millis(now), random=random)

    body = base64.urlsafe_b64decode(made[2:] + "=" * (-len(made[2:]) % 4)).decode()
    flag = "P" if relayed else ""
    assert made.startswith("2_")
    assert "=" not in made
    assert len(made) <= MAX_SESSION_ID
    assert f"1~{number}~{location}~{now}~{base64.b64encode(random).decode()}~{flag}~~" == body


@settings(deadline=None)
@given(number=st.integers(1, MAX_PROJECT_ID), random=st.binary(min_size=18, max_size=18))
def test_a_new_session_id_names_its_project(number: int, random: bytes) -> None:
    """What is put in as the project is read back."""
    made = make_session_id(str(number), "12.34.56.78", relayed=True, now=NOW, random=random)

    assert str(number) == project_in_session_id(made)


@pytest.mark.parametrize(
    ("session_id", "expected"),
    [
        ("1_MX4xMjM0NTZ-fjE3MDAwMDAwMDAwMDB-QUFBQUJCQkJDQ0NDRERERDExMTEyMjIyfn4", "123456"),
        (encoded("1~123456~~Sat Mar 15 14:42:23 PDT 2014~0.49013025~", "1_"), "123456"),
        (encoded("1~47665971~12.34.56.78~1530796148168~AAAABBBBCCCCDDDD11112222~P~"), "47665971"),
        (encoded(f"1~{UUID}~~1726462588647~AAAABBBBCCCCDDDD11112222~~~"), UUID),
    ],
    ids=["sdk test", "of 2014", "with location", "application"],
)
def test_reads_the_project_of_ids_that_the_platform_made(session_id: str, expected: str) -> None:
    """Field 1 of any known shape is the owner."""
    assert expected == project_in_session_id(session_id)


def test_membership_is_decided_on_field_1_alone() -> None:
    """A project id in another field, or as a part of field 1, is not the owner."""
    session_id = encoded("1~123456~234~345~123~P~~")

    assert "123456" == project_in_session_id(session_id)


@pytest.mark.parametrize(
    "session_id",
    [
        "",
        "2_",
        "3_" + encoded("1~1~~1~a~~~")[2:],
        encoded("1~1~~1~a~~~")[2:],
        encoded("2~1~~1~a~~~"),
        encoded("1~0~~1~a~~~"),
        encoded("1~~~1~a~~~"),
        encoded("1~2147483648~~1~a~~~"),
        encoded("1~1 ~~1~a~~~"),
        encoded("1~1"),
        encoded("1~1~"),
        encoded("1~1~~1~a~~~") + "\n",
        "2_MX4x.A",
        "2_AAAAA",
        "2_" + base64.urlsafe_b64encode(b"1~1~\xff~1~a").decode().rstrip("="),
        encoded("1~1~~1~" + "a" * 250),
        encoded(f"1~{UUID.upper()}~~1726462588647~AAAABBBBCCCCDDDD11112222~~~"),
        encoded("1~1~~1~a~~~") + "=",
        encoded("1~1~~1~a~~") + "==",
        encoded("1~1~~1~?>~~~").replace("_", "/"),
        encoded("1~1~~1~a~~~")[:-1] + "5",
        encoded("1~1~~1~a~~")[:-1] + "h",
        encoded("1~01~~1~a~~~"),
        encoded("1~1~~1~a~~\x7f"),
        encoded("1~1~~1~a~\u2028~"),
        encoded("1~\u0661~~1~a~~~"),
    ],
)
def test_refuses_what_is_no_session_id(session_id: str) -> None:
    """What has another shape belongs to no project."""
    assert project_in_session_id(session_id) is None


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("AXM4fjE-_+/=w1~"), max_size=12).map("".join), st.sampled_from(["", "=", "5", "fh", "fn7"])
)
def test_two_ids_never_say_the_same(body: str, tail: str) -> None:
    """What is a session id is what its fields are written as, so no other text says them."""
    session_id = encoded("1~1~~1~") + body + tail
    if project_in_session_id(session_id) is not None:
        fields = base64.urlsafe_b64decode(session_id[2:] + "=" * (-len(session_id[2:]) % 4)).decode()

        assert encoded(fields) == session_id


def test_a_session_has_two_prefixes_and_one_name() -> None:
    """The platform writes both, so either stands for the other; what is no session id stands for itself."""
    assert ("1_abc", "2_abc", "3_abc", "") == tuple(map(other_spelling, ("2_abc", "1_abc", "3_abc", "")))
    assert ("abc", "abc", "3_abc", "") == tuple(map(either_spelling, ("2_abc", "1_abc", "3_abc", "")))


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Whatever comes from outside is a session id or none."""
    found = project_in_session_id("2_" + text)

    assert found is None or is_project_id(found) or is_uuid(found)


@given(times=st.lists(st.integers(0, 2**48 - 1), min_size=2, unique=True), random=st.binary(min_size=10, max_size=10))
def test_revocations_have_the_order_in_which_they_were_made(times: list[int], random: bytes) -> None:
    """By their ids, whatever the random part is."""
    ids = [make_revocation_id(Millis(time), random if time % 2 else bytes(10)) for time in sorted(times)]

    assert sorted(ids) == ids
    assert {36} == {len(each) for each in ids}


def test_text_that_is_no_session_id_takes_no_memory() -> None:
    """The owners of session ids are cached, and whoever sends megabytes in place of an id must not fill the cache."""
    before = ids._project_in_well_formed.cache_info().currsize
    for text in ("2_" + "A" * MAX_SESSION_ID, "2_é", "x" * 1_000_000):
        assert project_in_session_id(text) is None

    assert before == ids._project_in_well_formed.cache_info().currsize
