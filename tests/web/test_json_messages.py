"""Messages in JSON have the meaning of their bytes, and nothing that the contract lacks passes."""

from __future__ import annotations

import json

import pytest

from google.protobuf import json_format

from tokenauthority.contract import METHODS
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.v1 import session_pb2, token_pb2
from tokenauthority.web.json_messages import JsonMessages, json_messages


PREFIX = "/tokenauthority.v1."
CREATE = JsonMessages(METHODS[PREFIX + "SessionService/CreateSession"])
GENERATE = JsonMessages(METHODS[PREFIX + "TokenService/GenerateToken"])
BATCH = JsonMessages(METHODS[PREFIX + "TokenService/BatchGenerateTokens"])
LIST = JsonMessages(METHODS[PREFIX + "SessionService/ListSessions"])


async def fields(messages: JsonMessages, text: bytes) -> list[str]:
    """The fields that are refused."""
    with pytest.raises(InvalidRequestError) as refused:
        await messages.decode(text)
    return [violation.field for violation in refused.value.violations]


def test_every_unary_rpc_has_its_json() -> None:
    """And a stream has none."""
    assert {path for path, each in METHODS.items() if not each.descriptor.server_streaming} == set(json_messages())


@pytest.mark.parametrize("text", [b'{"projectId":"1","e2ee":true}', b'{"project_id":"1","e2ee":true,"location":null}'])
async def test_reads_both_spellings_of_proto3(text: bytes) -> None:
    """And null as a field that is not given."""
    expected = session_pb2.CreateSessionRequest(project_id="1", e2ee=True)

    assert expected.SerializeToString() == await CREATE.decode(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"projectId":"1","projectId":"2"}',
        b'{"projectId":"1","project_id":"2"}',
        b'{"project_id":"1","projectId":null}',
        b'{"location":NaN}',
        b'{"mediaMode":1e400}',
        b'{"mediaMode":-1e400}',
        b'{"mediaMode":"\\ud800"}',
        b'{"\\udc00\\ud800":1}',
        b'{"location":' + b"1" * 5000 + b"}",
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"null",
        b"",
    ],
)
async def test_refuses_what_two_readers_could_understand_differently(text: bytes) -> None:
    """Names that are there twice, numbers that JSON does not have, halves of characters, other encodings."""
    assert [""] == await fields(CREATE, text)


async def test_reads_a_batch_as_grpc_does() -> None:
    """Item by item, and with the index of what is wrong."""
    request = token_pb2.BatchGenerateTokensRequest(
        requests=[token_pb2.TokenRequest(session_id="ü]", data='"[,{'), token_pb2.TokenRequest()]
    )
    text = json_format.MessageToJson(request).encode()

    assert request.SerializeToString() == await BATCH.decode(text)
    assert b"" == await BATCH.decode(b"{}") == await BATCH.decode(b'{"requests":[ ]}')


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b'{"requests":[{},]}', "requests[1]"),
        (b'{"requests":[{}{}]}', "requests[0]"),
        (b'{"requests":[{},{"a":1}]}', "requests[1].a"),
        (b'{"requests":[{}],"requests":[{}]}', ""),
        (b'{"requests":[{}],"x":[1]}', "x"),
        (b'{"x":[{}]}', "x"),
        (b'{"requests":{}}', "requests"),
        (b'{"requests":[{]}', ""),
        (b'{"requests":[' + b"{}," * 1000 + b"{}]}", "requests"),
        (b'{"requests":[{"data":"' + b"a" * 70_000 + b'"}]}', "requests[0]"),
        (b'{"requests":[{}]' + b" " * 70_000 + b"}", ""),
        (b'{"requests":[' + b"[{},{}]," * 900, ""),
    ],
)
async def test_refuses_a_batch_that_is_none(text: bytes, field: str) -> None:
    """A text that is cut into items is no more lenient than a whole one."""
    assert [field] == await fields(BATCH, text)


async def test_writes_a_batch_and_a_page_as_a_whole_answer_would_be_written() -> None:
    """Only that no other call waits for it."""
    tokens = token_pb2.BatchGenerateTokensResponse(tokens=[token_pb2.Token(token="a"), token_pb2.Token(token="ü")])
    page = session_pb2.ListSessionsResponse(sessions=[session_pb2.Session(session_id="1")], next_page_token="n")
    for messages, answer in ((BATCH, tokens), (LIST, page), (LIST, session_pb2.ListSessionsResponse())):
        text = await messages.encode(answer.SerializeToString())
        expected = json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)
        assert expected == json.loads(text)
