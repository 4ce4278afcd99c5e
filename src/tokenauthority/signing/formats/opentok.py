"""What the formats of the OpenTok model share: built-in roles, the default lifetime, and layout classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from tokenauthority.domain.role import BUILT_IN_ROLES
from tokenauthority.domain.times import DAY, Seconds
from tokenauthority.signing.claims import Json, text, text_list
from tokenauthority.signing.results import LAST_SECOND, malformed


LAYOUT: Final = "initial_layout_class_list"

_DOTNET_LAYOUT: Final = "initial_layout_list"


def require_built_in_role(name: str) -> str:
    """Return *name*, which must be one of the four roles of the OpenTok formats."""
    if name not in BUILT_IN_ROLES:
        raise malformed("role is none of " + ", ".join(BUILT_IN_ROLES))
    return name


def day_after(issue_time: Seconds) -> Seconds:
    """Return when a token that names no expiry expires."""
    return min(Seconds(issue_time + DAY), LAST_SECOND)


def split_classes(joined: str) -> tuple[str, ...]:
    """Return the layout classes in *joined*, with single spaces between them."""
    return tuple(name for name in joined.split(" ") if name)


def layout_classes(payload: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the layout classes in *payload*, whichever SDK wrote it: a list, or a string joined by spaces."""
    name = LAYOUT if LAYOUT in payload else _DOTNET_LAYOUT
    if name not in payload:
        return ()
    if isinstance(payload[name], list):
        return text_list(payload, name)
    joined = text(payload, name)
    if list(payload)[:2] == ["iss", "iat"]:
        # PHP's SDK, known by its order, escapes the list as if for a URL. Nobody else does: in a token of
        # another SDK the class `a+b` is what it says.
        joined = unquote_plus(joined)
    return split_classes(joined)
