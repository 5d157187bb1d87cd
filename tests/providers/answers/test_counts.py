from __future__ import annotations

import pytest

from providers.answers.counts import MAX_COUNT, count, doubtful, doubts, first_count, lay_over, member, take


@pytest.mark.parametrize("value", [None, True, False, "", "seven", "0x7", "7e3", "NaN", [], {}])
def test_what_is_no_count_is_unknown(value):
    assert count(value) is None


@pytest.mark.parametrize("value", [-1, -0.5, "-3", 1e300, MAX_COUNT + 1, 2**70, "9" * 15, float("inf")])
def test_what_no_count_can_be_is_doubtful(value):
    assert count(value) is None
    assert doubtful(value)


@pytest.mark.parametrize(("value", "expected"), [(7.0, 7), (7.01, 8), ("7", 7), (" 7.5 ", 8), ("0", 0), (0.0, 0)])
def test_whole_numbers_in_other_forms_and_fractions(value, expected):
    assert count(value) == expected
    assert not doubtful(value)


@pytest.mark.parametrize("value", [0, 1, MAX_COUNT])
def test_a_count_is_itself(value):
    assert count(value) == value


def test_the_first_count_above_zero_wins_and_zero_is_stated():
    assert first_count(None, "x", 0, 5, 7) == 5
    assert first_count(None, 0, "x") == 0
    assert first_count(None, -1) is None


def test_a_member_of_what_is_no_object_is_absent():
    assert member([1], "a") is None
    assert member(None, "a") is None
    assert member({"a": 0}, "a") == 0


def test_a_part_is_never_larger_than_the_whole():
    assert take(None, 5) == (None, 5)
    assert take(2, 5) == (2, 3)
    assert take(9, 5) == (5, 0)


def test_foreign_objects_are_bounded():
    stated: dict = {}
    deep: dict = {}
    for _ in range(500):
        deep = {"a": deep, "n": 1}
    for start in range(0, 1000, 50):
        lay_over(stated, {f"m{n}": n for n in range(start, start + 50)} | {"deep": deep})
    assert len(stated) <= 100
    assert doubts(stated, {}) == (False, True)
    assert doubts({"x": [deep] * 3}, {}) == (False, True)
