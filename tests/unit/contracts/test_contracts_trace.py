"""W3C trace context: what is a traceparent and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_contracts.trace import InvalidTraceParent, TraceParent, is_traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BAD = (
    "",
    "nonsense",
    GOOD.upper(),
    f"{GOOD}-more",
    GOOD.replace("00-", "ff-", 1),
    GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
    GOOD.replace("00f067aa0ba902b7", "0" * 16),
    GOOD[:-1],
    f" {GOOD}",
    f"{GOOD}\n",
)


def test_a_traceparent_is_read_and_written_unchanged() -> None:
    parent = TraceParent.parse(GOOD)
    assert (parent.trace_id, parent.span_id) == (GOOD[3:35], GOOD[36:52])
    assert parent.format() == GOOD


def test_a_later_version_may_carry_more_parts_which_are_ignored() -> None:
    assert TraceParent.parse(GOOD.replace("00-", "01-", 1) + "-what-comes") == TraceParent.parse(GOOD)


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidTraceParent):
        TraceParent.parse(text)


@given(
    st.one_of(
        st.sampled_from([*BAD, GOOD, GOOD.replace("00-", "01-", 1) + "-x", GOOD.replace("00-", "cc-", 1)]),
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.?)?", fullmatch=True),
        st.text(max_size=60),
    )
)
def test_the_quick_check_agrees_with_the_parser(text: str) -> None:
    try:
        TraceParent.parse(text)
    except InvalidTraceParent:
        assert not is_traceparent(text)
    else:
        assert is_traceparent(text)
