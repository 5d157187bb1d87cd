"""The lowest limit counts, whoever states it, and no target beyond it is left."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.retention import RETENTION_HEADER, asked, stored, strictest, within
from gateway.config import DataHandling, Region
from gateway.errors import InvalidRequest, RetentionUnavailable
from gateway.http.answers import sentence

limits = st.none() | st.integers(0, 100)


@dataclass(frozen=True)
class Target:
    handling: DataHandling


def targets(*days: int) -> list[Target]:
    return [Target(DataHandling(one, False, Region.GLOBAL)) for one in days]


@given(st.lists(limits), limits)
def test_one_more_statement_never_loosens(stated, one):
    before, after = strictest(*stated), strictest(*stated, one)
    assert after == strictest(one, *stated)
    assert after == min([days for days in (*stated, one) if days is not None], default=None)
    if before is not None:
        assert after is not None
        assert after <= before


@given(st.lists(st.integers(0, 100), min_size=1), limits)
def test_what_is_left_is_within_in_order_and_nothing_else_is_refused(days, limit):
    left = [one for one in days if limit is None or one <= limit]
    if left:
        assert [target.handling.retention_days for target in within(targets(*days), limit)] == left
        return
    with pytest.raises(RetentionUnavailable) as refused:
        within(targets(*days), limit, "fallbacks")
    error = refused.value
    assert (error.status, error.param, error.limit, error.least) == (403, "fallbacks", limit, min(days))
    assert f"Allowed: {limit} days; the shortest that a provider keeps them: {min(days)} days." in sentence(error)


@pytest.mark.parametrize(
    ("values", "limit"),
    [((), None), (("0",), 0), (("30",), 30), (("30", "7"), 7), (("00",), 0), (("9" * 19,), int("9" * 19))],
)
def test_a_request_states_a_whole_number(values, limit):
    assert asked(values) == limit


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", "soon", "1e3", "0,30", "1 0", "٣", "²", "0x1", "9" * 30])
def test_anything_else_is_refused_and_not_quoted(value):
    for values in ((value,), ("0", value), (value, "0")):
        with pytest.raises(InvalidRequest) as refused:
            asked(values)
        assert refused.value.param == RETENTION_HEADER
        assert "whole number of days" in refused.value.message
        assert len(value) < 3 or value not in refused.value.message


@pytest.mark.parametrize(("text", "limit"), [("", None), ("0", 0), ("30", 30), ("a while", 0), ("-1", 0)])
def test_a_stored_limit_that_cannot_be_read_is_the_strictest(text, limit):
    assert stored(text) == limit
