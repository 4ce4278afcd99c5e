"""The rows of the token formats: what each can carry, and that nobody but the row knows it."""

from __future__ import annotations

import ast

from pathlib import Path

import pytest

import tokenauthority

from tokenauthority.domain.credential import CredentialKind
from tokenauthority.domain.profile import JANUS, JITSI, LIVEKIT, Table
from tokenauthority.domain.token_format import FormatTraits, TokenFormat


def _by_table(table: Table) -> FormatTraits:
    return FormatTraits(
        signed_by=CredentialKind.SECRET,
        has_token_id=True,
        carries_permissions=True,
        carries_subject=True,
        table=table,
    )


PACKAGE = Path(tokenauthority.__file__).parent
NAMED_IN = {
    "domain/token_format.py": "the rows",
    "authority/projects.py": "the default format of a project that is made or imported",
    **{f"signing/formats/{each.lower()}.py": "the codec" for each in TokenFormat},
}


def test_no_other_module_names_a_format() -> None:
    """Whoever needs to know something of a format reads its row, so a further format changes no such module."""
    naming = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        # To parse all modules takes seconds, and few hold such a word.
        for node in ast.walk(ast.parse(text)) if any(name in text for name in TokenFormat.__members__) else ():
            named = (isinstance(node, ast.Attribute) and node.attr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
            )
            if named in TokenFormat.__members__ and not path.is_relative_to(PACKAGE / "v1"):
                naming.add(path.relative_to(PACKAGE).as_posix())

    assert NAMED_IN.keys() == naming


@pytest.mark.parametrize("token_format", TokenFormat)
def test_every_format_has_a_row(token_format: TokenFormat) -> None:
    """A member without a row is an error before any token is made."""
    assert isinstance(token_format.traits, FormatTraits)


def test_the_rows_are_those_of_the_documented_formats() -> None:
    """Pinned, because a wrong row would let a token carry what nobody can read; docs/explanation/formats.md agrees."""
    assert {
        "SESSION_JWT": FormatTraits(
            signed_by=None, has_token_id=True, carries_permissions=True, carries_subject=True, carries_layout=True
        ),
        "OPENTOK_T1": FormatTraits(signed_by=CredentialKind.SECRET, carries_layout=True),
        "OPENTOK_JWT": FormatTraits(signed_by=CredentialKind.SECRET, carries_layout=True),
        "VONAGE_JWT": FormatTraits(signed_by=CredentialKind.VONAGE_KEY, has_token_id=True, carries_layout=True),
        "LIVEKIT_JWT": _by_table(LIVEKIT),
        "JITSI_JWT": _by_table(JITSI),
        "JANUS": _by_table(JANUS),
    } == {each.value: each.traits for each in TokenFormat}
