"""An object that is written in parts is the object that is written at once."""

from __future__ import annotations

import msgspec

from hypothesis import given
from hypothesis import strategies as st

from tests.signing.builders import hostile_text
from tokenauthority.signing.formats.json_members import json_object, member, members


names = st.text("abc_", min_size=1, max_size=8)
values: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    names, st.one_of(st.integers(-(2**53), 2**53), hostile_text, st.just({}), st.just([]))
)


@given(first=values.filter(bool), text=hostile_text, last=values)
def test_the_parts_are_the_whole(first: dict[str, object], text: str, last: dict[str, object]) -> None:
    """Byte for byte and in order; an empty text, and no further member, leave no trace."""
    whole = [
        *first.items(),
        *([("sub", text)] if text else []),
        *((f"last_{name}", each) for name, each in last.items()),
    ]
    others = {f"last_{name}": value for name, value in last.items()}

    written = json_object(members(first), member(b',"sub":', text), members(others))

    assert msgspec.json.encode(dict(whole)) == written
