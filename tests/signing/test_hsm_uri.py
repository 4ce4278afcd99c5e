"""PKCS#11 URIs: those of RFC 7512 that name a token are read, and none of them can hold a PIN."""

from __future__ import annotations

import contextlib

from pathlib import Path

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.signing.hsm_uri import TokenUri


MODULE = "module-path=/usr/lib/hsm.so"


def test_reads_token_module_and_file_of_the_pin() -> None:
    """With what is escaped in it."""
    uri = TokenUri.parse("pkcs11:token=signing%20keys;serial=ab12?module-path=/usr/lib/hsm.so&pin-source=file:/run/pin")

    assert TokenUri(Path("/usr/lib/hsm.so"), "signing keys", "ab12", Path("/run/pin")) == uri


@pytest.mark.parametrize("source", ["file:/run/pin", "file:///run/pin", "/run/pin"])
def test_reads_every_spelling_of_the_file(source: str) -> None:
    """RFC 7512 has a URI or a path."""
    assert Path("/run/pin") == TokenUri.parse(f"pkcs11:token=x?{MODULE}&pin-source={source}").pin_source


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("", "must be pkcs11:"),
        ("https://example.com", "must be pkcs11:"),
        ("PKCS11:token=x?" + MODULE, "must be pkcs11:"),
        ("pkcs11:token=x?module-path=/" + "a" * 2048, "at most 2048"),
        ("pkcs11:token=x\n?" + MODULE, "printable"),
        ("pkcs11:?" + MODULE, "must name the token"),
        ("pkcs11:token=?" + MODULE, "must name the token"),
        ("pkcs11:token=x", "must name the module"),
        ("pkcs11:token=x?module-path=hsm.so", "must name the module"),
        (f"pkcs11:token=x?{MODULE}&pin-source=|/bin/get-pin", "must name the file"),
        (f"pkcs11:token=x?{MODULE}&pin-source=file:pin", "must name the file"),
        (f"pkcs11:token=x?{MODULE}&pin-source=https://example.com/pin", "must name the file"),
        (f"pkcs11:token=x;token=y?{MODULE}", "token twice"),
        (f"pkcs11:token=x;object=key?{MODULE}", "other than"),
        (f"pkcs11:token=x?{MODULE}&module-name=hsm", "other than"),
        (f"pkcs11:token=x?{MODULE}&hunter2", "other than"),
        (f"pkcs11:token=x%2?{MODULE}", "hex digits"),
        (f"pkcs11:token=x%00?{MODULE}", "not printable"),
        (f"pkcs11:token=x?{MODULE}&pin-value=hunter2", "must not have pin-value"),
        (f"pkcs11:token=x;pin-value=hunter2?{MODULE}", "must not have pin-value"),
        (f"pkcs11:token=x?{MODULE}&pin%2Dvalue=hunter2", "must not have pin-value"),
    ],
)
def test_refuses_what_names_no_token(uri: str, problem: str) -> None:
    """In words that say what is wrong and repeat no value."""
    with pytest.raises(ValueError, match=problem) as caught:
        TokenUri.parse(uri)

    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text is another error."""
    with contextlib.suppress(ValueError):
        TokenUri.parse(f"pkcs11:{text}")


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"], codec="utf-8"), min_size=1, max_size=32))
def test_a_label_is_escaped_in_locations(label: str) -> None:
    """So that it cannot be taken for another part of the URI."""
    uri = TokenUri(Path("/hsm.so"), label)

    place = uri.key_location("name", "id").split(";")[0]

    if label.isprintable():
        assert label == TokenUri.parse(f"{place}?{MODULE}").token
    assert f"{uri.token_location};object=name;id=id;type=private" == uri.key_location("name", "id")
