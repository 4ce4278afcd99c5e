"""What is wrong with a JSON object is said field by field, and without its values."""

from __future__ import annotations

import pytest

from tokenauthority.v1 import project_pb2, session_pb2, token_pb2
from tokenauthority.web.json_problems import problems_of


GENERATE = token_pb2.GenerateTokenRequest.DESCRIPTOR


@pytest.mark.parametrize(
    ("value", "field", "problem"),
    [
        ({"request": {"rolle": 1}}, "request.rolle", "is not a field of TokenRequest"),
        ({"request": 7}, "request", "must be an object"),
        ({"request": {"data": 7}}, "request.data", "must be a text"),
        ({"request": {"ttl": 60}}, "request.ttl", "must be a text of seconds such as 3600s"),
        ({"request": {"expireTime": "x"}}, "request.expire_time", "must be a text such as 2030-01-31T12:00:00Z"),
        ({"request": {"initialLayoutClassList": "a"}}, "request.initial_layout_class_list", "must be a list"),
        ({"request": {"initialLayoutClassList": ["a", 1]}}, "request.initial_layout_class_list[1]", "must be a text"),
        (
            {"request": {"ttl": "1s", "expireTime": "2030-01-31T12:00:00Z"}},
            "request.expire_time",
            "is given beside ttl",
        ),
        ({"a\n\x1b" + "x" * 100: 1}, "a??" + "x" * 61, "is not a field of GenerateTokenRequest"),
        ([], "", "must be an object"),
        ({"request": None}, "", "is not a GenerateTokenRequest"),
        ({}, "", "is not a GenerateTokenRequest"),
    ],
)
def test_names_the_field_and_the_form(value: object, field: str, problem: str) -> None:
    """With the field's name of the contract, as the other errors have it."""
    (found,) = problems_of(GENERATE, value)

    assert (field, problem) == (found.field, found.problem)


def test_names_the_values_of_an_enum() -> None:
    """So nobody has to look them up."""
    (found,) = problems_of(session_pb2.CreateSessionRequest.DESCRIPTOR, {"mediaMode": "secret"}, "requests[3]")

    assert "requests[3].media_mode" == found.field
    assert "MEDIA_MODE_ROUTED" in found.problem
    assert "secret" not in found.problem


def test_knows_every_message_that_is_a_text() -> None:
    """A mask of fields is one; and a value of the wrong kind is named as such."""
    kind = project_pb2.UpdateProjectRequest.DESCRIPTOR
    (found,) = problems_of(kind, {"updateMask": "display_name"})

    assert ("update_mask", True) == (found.field, "displayName" in found.problem)
    assert ["is not a UpdateProjectRequest"] == [each.problem for each in problems_of(kind, {"updateMask": "maxTtl"})]


def test_names_a_bounded_number_of_problems() -> None:
    """A thousand unknown names cost no more than fifty."""
    assert 50 == len(problems_of(GENERATE, {f"x{n}": 1 for n in range(1000)}))
