"""For how long a caller waits, as its headers say."""

import math

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.inference.patience import HEADERS, patience


def stated(*pairs):
    return patience(CIMultiDictProxy(CIMultiDict(pairs)))


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(("value", "seconds"), [("600", 599), ("600.0", 599), ("10", 9), ("1", 0.9), ("0.5", 0.45)])
def test_an_error_comes_before_its_caller_gives_up(name, value, seconds):
    assert math.isclose(stated((name, value)), seconds)


@pytest.mark.parametrize(
    "value", ["", "0", "0.0", "-1", "NOT_GIVEN", "None", "nan", "inf", "1e9", "9" * 30, "10s", " 10", "\u0661"]
)
def test_what_is_no_time_means_nothing(value):
    assert stated(("X-Stainless-Timeout", value)) is None
    assert stated(("x-stainless-timeout", value), ("x-stainless-read-timeout", "10")) == 9


def test_the_shortest_time_counts():
    assert stated(("x-stainless-timeout", "20"), ("x-server-timeout", "10")) == 9
    assert stated(("x-stainless-timeout", "20"), ("x-stainless-timeout", "10")) == 9
    assert stated() is None
