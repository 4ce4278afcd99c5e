"""The official SDKs can read what they are answered."""

from __future__ import annotations

import json

from xml.etree import ElementTree as ET

import pytest

from google.protobuf.timestamp_pb2 import Timestamp

from tokenauthority.v1.session_pb2 import Session
from tokenauthority.web.opentok_answers import error_answer, session_answer, wants_json


SESSION = Session(session_id="2_abc", project_id="47000000", create_time=Timestamp(seconds=1_800_000_000))
FACTS = {
    "session_id": "2_abc",
    "project_id": "47000000",
    "partner_id": "47000000",
    "create_dt": "Fri Jan 15 08:00:00 UTC 2027",
}


@pytest.mark.parametrize(
    ("accept", "as_json"),
    [
        ("application/json", True),
        ("text/html, Application/JSON;q=0.9", True),
        ("*/*", False),
        ("", False),
        ("application/*", False),
        ("application/jsonp", False),
    ],
)
def test_json_is_for_those_who_name_it(accept: str, as_json: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Ruby's SDK sends `*/*` and reads XML alone; PHP's and .NET's send nothing."""
    assert as_json is wants_json(accept)


def test_a_session_in_json_is_a_list_of_one() -> None:
    """Under exactly this type: with a parameter, Python's SDK takes it for XML."""
    answer = session_answer(SESSION, [("x", "y")], as_json=True)

    assert (200, [("content-type", "application/json"), ("x", "y")]) == (answer.status, answer.headers)
    assert [FACTS] == json.loads(answer.body)


def test_a_session_in_xml_has_every_element_that_an_sdk_reads() -> None:
    """.NET's SDK also needs the numeric `partner_id`."""
    answer = session_answer(SESSION, [], as_json=False)
    found = ET.fromstring(answer.body.decode())  # noqa: S314 - the XML is the answer of the authority under test

    assert [("content-type", "text/xml; charset=utf-8")] == answer.headers
    assert ("sessions", ["Session"]) == (found.tag, [each.tag for each in found])
    assert FACTS == {each.tag: each.text for each in found[0]}


@pytest.mark.parametrize("message", ["x", "<a>&amp;</b>", "é 😀 ]]>"])
def test_an_error_says_what_is_wrong(message: str) -> None:
    """In the type that was asked for, whatever the text holds."""
    in_json, in_xml = (error_answer(400, message, [], as_json=as_json) for as_json in (True, False))
    root = ET.fromstring(in_xml.body.decode())  # noqa: S314 - the XML is the answer of the authority under test

    assert {"code": 400, "message": message, "description": message} == json.loads(in_json.body)
    assert (400, 400, "errorPayload", message) == (in_json.status, in_xml.status, root.tag, root.findtext("message"))
