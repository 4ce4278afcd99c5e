"""VerifyToken over the wire under the fuzzer for a moment: the answer is OK whatever the token is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzzing.cases import make_case
from tests.fuzzing.wire import ERROR, VERIFY, Served, is_text, served
from tokenauthority.v1 import token_pb2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server with the fuzzer's projects."""
    with served(tmp_path_factory.mktemp("fuzz") / "data") as one:
        yield one


def test_the_server_answers_as_the_use_case(server: Served) -> None:
    """Verdict, reason, detail and claims; only an invalid request is an error, and no token makes one."""
    cases = [make_case(seed) for seed in range(600)]
    answers = [server.answer(case) for case in cases]

    assert [server.expected(case) for case in cases] == answers
    assert {"OK", ERROR} == {answer if answer == ERROR else "OK" for answer in answers}


@pytest.mark.parametrize("data", [b"\x0a\x01\xff", b"\x0a\x03\xed\xa0\x80", b"\x0a\x02\xc0\x80", b"\x0a\xff", b"\xff"])
def test_bytes_that_are_no_request_are_an_invalid_request(server: Served, data: bytes) -> None:
    """A token that is no UTF-8 cannot be in a message at all: the call is at fault, and the server goes on."""
    assert ERROR == server.wire.call(VERIFY, data).code
    assert "OK" == server.wire.call(VERIFY, token_pb2.VerifyTokenRequest(token="x")).code


def test_only_lone_surrogates_are_no_text() -> None:
    """The rest of Unicode gets a verdict."""
    assert [True, True, False, False] == [is_text(text) for text in ("\ud7ff\ue000", "\U0010ffff", "\ud800", "a\udfff")]
