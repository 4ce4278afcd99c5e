"""The forwarded certificate is read exactly as Envoy writes it, and whatever is odd about it is refused."""

from __future__ import annotations

import re

from collections.abc import Iterable

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tokenauthority.callers.xfcc import KEYS, MAX_HEADER, Element, XfccError, parse_xfcc


ID = "spiffe://prod.example/ns/video/sa/room-service"
HASH = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688"

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
SINGLES = ("Hash", "Cert", "Chain", "Subject")
ELEMENTS = (
    st.lists(st.tuples(st.sampled_from(KEYS), PRINTABLE), min_size=1, max_size=8)
    .filter(lambda pairs: all([key for key, _ in pairs].count(single) <= 1 for single in SINGLES))
    .map(lambda pairs: Element(tuple(pairs)))
)


def write_xfcc(elements: Iterable[Element]) -> str:
    """The header with these elements, as a proxy writes it."""
    return ",".join(";".join(f"{key}={quoted(value)}" for key, value in element.pairs) for element in elements)


def quoted(value: str) -> str:
    """The value, in double quotes if the grammar requires them."""
    if re.fullmatch(r'[^ ",;=\\]+', value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def test_reads_what_a_proxy_writes() -> None:
    """One hop, as Envoy sends it with all of its fields."""
    (element,) = parse_xfcc(
        f'By=spiffe://prod.example/authority;Hash={HASH};Subject="CN=a\\,b,O=\\"X\\"";URI={ID};DNS=a.b'
    )

    assert (
        ("By", "spiffe://prod.example/authority"),
        ("Hash", HASH),
        ("Subject", 'CN=a\\,b,O="X"'),
        ("URI", ID),
        ("DNS", "a.b"),
    ) == element.pairs


def test_reads_several_hops_in_their_order() -> None:
    """The last element is that of the last hop; separators in quotes separate nothing."""
    first, second, last = parse_xfcc(f'Subject="URI=x,URI=y;URI=z";URI=,By="a;b",Hash={HASH};URI={ID}')

    assert (("Subject", "URI=x,URI=y;URI=z"), ("URI", "")) == first.pairs
    assert (("By", "a;b"),) == second.pairs
    assert (ID,) == last.values("URI")


def test_reads_keys_of_any_case_and_all_values_of_one() -> None:
    """Keys are case-insensitive; URI, DNS and By may come more than once."""
    (element,) = parse_xfcc("uri=a;URI=b;dns=c;DnS=d;by=e;BY=f")

    assert [("a", "b"), ("c", "d"), ("e", "f")] == [element.values(key) for key in ("URI", "DNS", "By")]


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        ";",
        "URI",
        "=a",
        f"{ID}",
        f"URI={ID},",
        f",URI={ID}",
        f"URI={ID};",
        f";URI={ID}",
        f"URI={ID};;DNS=a",
        f"URI={ID},,URI={ID}",
        f" URI={ID}",
        f"URI={ID} ",
        f"URI= {ID}",
        f"URI ={ID}",
        f"URI={ID}, URI={ID}",
        f"URI={ID}; DNS=a",
        "Hash=a b",
        f'URI="{ID}',
        f'URI={ID}"',
        f'URI="{ID}"x',
        f'URI=x"{ID}"',
        f'URI=""{ID}""',
        f'URI="{ID}\\"',
        'Subject="a\\',
        "URI=a\\,b",
        "URI=a=b",
        f"URL={ID}",
        f"Issuer=a;URI={ID}",
        f"Hash=a;Hash=b;URI={ID}",
        f'Subject="a";subject="b";URI={ID}',
        f"URI={ID}\n",
        f"URI={ID}\x00",
        f"URI={ID}\u00e9",
        f"UR\u0131={ID}",
        f"URI={ID}\ud800",
        "Cert=" + "a" * MAX_HEADER,
    ],
)
def test_refuses_what_is_odd(header: str) -> None:
    """Nothing is mended or skipped, anywhere in the header; the message quotes none of it."""
    with pytest.raises(XfccError) as caught:
        parse_xfcc(header)

    assert "spiffe" not in str(caught.value)


def test_takes_a_header_of_the_greatest_length() -> None:
    """16 KiB, and not a character more."""
    header = f"URI={ID};Cert=" + "a" * (MAX_HEADER - len(ID) - 10)

    assert MAX_HEADER == len(header)
    assert (ID,) == parse_xfcc(header)[0].values("URI")
    with pytest.raises(XfccError):
        parse_xfcc(header + "a")


@given(st.lists(ELEMENTS, min_size=1, max_size=5))
def test_reads_back_what_is_written(elements: list[Element]) -> None:
    """Whatever the values hold: quotes, backslashes, separators, nothing at all."""
    assert tuple(elements) == parse_xfcc(write_xfcc(elements))


HEADERS = st.text(st.sampled_from('URIuriBy=;,"\\ ab\x00é'), max_size=40) | st.text(
    st.characters(exclude_categories=())
)


@given(HEADERS)
def test_takes_or_refuses_any_text(header: str) -> None:
    """No text does anything else, and what is taken says the same when it is written again."""
    try:
        elements = parse_xfcc(header)
    except XfccError:
        return

    assert elements == parse_xfcc(write_xfcc(elements))


@given(st.lists(ELEMENTS, max_size=3), PRINTABLE)
def test_what_came_before_the_last_hop_cannot_change_it(before: list[Element], uri: str) -> None:
    """Whatever earlier hops say, rightly quoted, the last element stays what it is."""
    last = Element((("URI", uri),))

    assert last == parse_xfcc(write_xfcc([*before, last]))[-1]
