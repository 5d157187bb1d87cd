from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config import Region
from gateway.errors import RegionUnavailable
from gateway.regions import within


def target(region: Region) -> Any:
    return SimpleNamespace(provider=SimpleNamespace(region=region))


EU, US, ANYWHERE = target(Region.EU), target(Region.US), target(Region.GLOBAL)
ALL = (ANYWHERE, EU, US, EU)


@pytest.mark.parametrize(
    ("targets", "regions", "left"),
    [
        (ALL, None, ALL),
        (ALL, {"eu"}, (EU, EU)),
        (ALL, {"eu", "us"}, (EU, US, EU)),
        ((US,), {"us"}, (US,)),
    ],
)
def test_only_targets_inside_are_left_and_in_order(targets: Any, regions: Any, left: Any) -> None:
    assert within(targets, None if regions is None else frozenset(regions)) == left


@pytest.mark.parametrize("regions", [(), ("ch",), ("atlantis",)])
@pytest.mark.parametrize("targets", [ALL, (ANYWHERE,)])
def test_none_left_is_refused(targets: Any, regions: tuple[str, ...]) -> None:
    with pytest.raises(RegionUnavailable):
        within(targets, frozenset(regions))
