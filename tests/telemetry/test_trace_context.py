"""The context of a caller's trace is read as W3C Trace Context says; whatever else is sent is ignored."""

from __future__ import annotations

import pytest

from tokenauthority.telemetry.trace_context import TraceContext, read_context


TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (VALID, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"00-{TRACE}-{PARENT}-fe", False),
        (f"01-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", True),
    ],
)
def test_reads_the_trace_and_whether_the_caller_samples(traceparent: str, sampled: bool) -> None:  # noqa: FBT001 - the expected value of a parameter set
    """Also of a later version, whose further fields have no meaning here."""
    assert TraceContext(TRACE, PARENT, "", sampled) == read_context({"traceparent": [traceparent]})


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        VALID.upper(),
        VALID + " ",
        VALID + "\n",
        VALID + "-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0g",
        f"01-{TRACE}-{PARENT}-01more",
        f"01-{TRACE}-{PARENT}-01-{'a' * 300}",
        f"00-{TRACE[:-1]}\N{ARABIC-INDIC DIGIT ONE}-{PARENT}-01",
    ],
)
def test_ignores_what_is_no_traceparent(traceparent: str) -> None:
    """The call then begins a trace of its own."""
    assert read_context({"traceparent": [traceparent]}) is None


def test_ignores_several_and_none() -> None:
    """Nobody can say which one counts. A binary value is none."""
    assert read_context({}) is None
    assert read_context({"traceparent": [VALID, VALID]}) is None
    assert read_context({"traceparent": [VALID.encode()]}) is None


@pytest.mark.parametrize(
    ("tracestate", "state"),
    [
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        (["a=1 , ,b@c=2/3", ""], "a=1,b@c=2/3"),
        (["a=" + "x" * 253, "b=" + "x" * 254], "a=" + "x" * 253 + ",b=" + "x" * 254),
        (["a=" + "x" * 253, "b=" + "x" * 255], ""),
        (["a=" + "x" * 257], ""),
        ([",".join(f"k{number}=v" for number in range(33))], ""),
        (["a"], ""),
        (["a=1,=2"], ""),
        (["a=1=2"], ""),
        (["A=1"], ""),
        (["a=\x07"], ""),
        (["a=\N{LATIN SMALL LETTER E WITH ACUTE}"], ""),
        ([b"a=1"], ""),
        ([], ""),
    ],
)
def test_drops_a_state_that_is_too_long_or_malformed(tracestate: list[str | bytes], state: str) -> None:
    """The trace goes on without it."""
    found = read_context({"traceparent": [VALID], "tracestate": tracestate})

    assert TraceContext(TRACE, PARENT, state, True) == found  # noqa: FBT003 - a value of the record
