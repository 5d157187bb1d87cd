from __future__ import annotations

import pytest

from providers.answers.counts import MAX_COUNT, count, first_count, member, take


@pytest.mark.parametrize("value", [None, True, False, "7", -1, 7.0, 1e300, MAX_COUNT + 1, 2**70, [], {}])
def test_what_is_no_count_is_unknown(value):
    assert count(value) is None


@pytest.mark.parametrize("value", [0, 1, MAX_COUNT])
def test_a_count_is_itself(value):
    assert count(value) == value


def test_the_first_stated_count_wins_and_zero_is_stated():
    assert first_count(None, "3", 0, 5) == 0
    assert first_count(None, -1) is None


def test_a_member_of_what_is_no_object_is_absent():
    assert member([1], "a") is None
    assert member(None, "a") is None
    assert member({"a": 0}, "a") == 0


def test_a_part_is_never_larger_than_the_whole():
    assert take(None, 5) == (None, 5)
    assert take(2, 5) == (2, 3)
    assert take(9, 5) == (5, 0)
