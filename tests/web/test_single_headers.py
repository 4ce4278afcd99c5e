"""A header that is there twice is refused by its name."""

from __future__ import annotations

import pytest

from starlette.datastructures import Headers

from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.web.single_headers import require_single


def test_names_each_header_that_is_repeated() -> None:
    """Also where the values are the same, and whatever the case; the values are not shown."""
    headers = Headers(raw=[(b"a", b"1"), (b"a", b"1"), (b"b", b"1"), (b"c", b"1"), (b"c", b"2")])
    with pytest.raises(InvalidRequestError) as refused:
        require_single(headers, "A", "b", "c", "d")

    assert ["A", "c"] == [violation.field for violation in refused.value.violations]
