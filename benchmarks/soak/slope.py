"""Whether a series rises: its slope by Theil and Sen, which a quarter of wild values does not move.

Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, 1968.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

SETTLED = 1 / 3  # of the time, before which nothing is judged: caches and pools fill
MOST_POINTS = 240  # more are joined to the medians of neighbours, since every pair is looked at

Point = tuple[float, float]  # seconds, value


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a series may rise over the time that is judged: a share of its median, and a number besides.

    ``unit``: what is shown is divided by it.
    """

    share: float
    more: float
    unit: float = 1.0


@dataclass(frozen=True, slots=True)
class Trend:
    """What a series did in the time that is judged; ``rise`` is the slope times that time."""

    median: float
    rise: float
    most: float

    @property
    def good(self) -> bool:
        return self.rise <= self.most


def slope(points: Sequence[Point]) -> float:
    """The median of the slopes of all pairs of points; 0.0 for fewer than two."""
    slopes = [(two[1] - one[1]) / (two[0] - one[0]) for one, two in combinations(points, 2) if two[0] > one[0]]
    return median(slopes) if slopes else 0.0


def trend(points: Sequence[Point], limit: Limit) -> Trend:
    """Judge a series. Raises ValueError if it has fewer than two points after `SETTLED`."""
    begin, end = points[0][0], points[-1][0]
    judged = [point for point in points if point[0] >= begin + (end - begin) * SETTLED]
    if len(judged) < 2:
        raise ValueError("too few points")
    middle = median(value for _, value in judged)
    rise = slope(_joined(judged)) * (judged[-1][0] - judged[0][0])
    return Trend(middle, rise, limit.share * middle + limit.more)


def _joined(points: Sequence[Point]) -> Sequence[Point]:
    size = -(-len(points) // MOST_POINTS)
    groups = [points[begin : begin + size] for begin in range(0, len(points), size)]
    return [(median(at for at, _ in group), median(value for _, value in group)) for group in groups]
