from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, cast

from gateway.portal.chart import DAYS, OTHERS, draw, usage

TODAY = date(2026, 3, 31)


@dataclass
class Record:
    """What the chart looks at of a usage record."""

    model: str
    charge: int
    settled_ms: int


def on(day: date, model: str, charge: int) -> Any:
    at = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
    return cast("Any", Record(model, charge, int(at.timestamp() * 1000)))


def test_sums_are_by_day_and_model_within_thirty_days() -> None:
    used = usage(
        [on(TODAY, "a", 2), on(TODAY, "a", 3), on(date(2026, 3, 1), "b", 9), on(date(2026, 2, 28), "b", 7)], TODAY
    )
    assert (len(used.days), used.days[0], used.days[-1]) == (DAYS, date(2026, 3, 2), TODAY)
    assert used.models == ("a",)
    assert used.charges == {(TODAY, "a"): 5}


def test_many_models_share_one_colour_and_no_charge_is_lost() -> None:
    used = usage([on(TODAY, f"m{number}", number + 1) for number in range(9)], TODAY)
    assert used.models == ("m8", "m7", "m6", "m5", OTHERS)
    assert used.of_day(TODAY) == sum(range(1, 10))


def test_names_are_escaped_and_numbers_stand_in_the_table_too() -> None:
    drawn = draw(usage([on(TODAY, "<b>&", 1_500_000)], TODAY))
    assert "<b>" not in drawn
    assert drawn.count("&lt;b&gt;&amp;") == 3
    assert '<td class="number">1.50</td>' in drawn
    assert 'role="img"' in drawn


def test_nothing_used_is_said() -> None:
    assert "Nothing was used" in draw(usage([], TODAY))
