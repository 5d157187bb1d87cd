"""A pin refuses and never widens; an answer that says that it came from elsewhere is found out."""

from dataclasses import dataclass
from itertools import product

import pytest

from gateway.auth.policy import narrow
from gateway.auth.regions import astray, consistent, promised, within
from gateway.config import DataHandling, Region
from gateway.errors import RegionUnavailable
from metering.usage import Geography


@dataclass(frozen=True)
class Target:
    handling: DataHandling
    name: str = ""


def targets(*regions: Region) -> list[Target]:
    return [Target(DataHandling(0, False, region), f"{index}") for index, region in enumerate(regions)]


def pin(*regions: str) -> frozenset[str] | None:
    """As `gateway.auth.policy` joins them: pins to different regions leave none."""
    return narrow(None, regions)


EVERYWHERE = targets(*Region)


def test_without_a_pin_every_target_stays_in_order():
    assert within(EVERYWHERE, None) == tuple(EVERYWHERE)


@pytest.mark.parametrize("region", [region for region in Region if region is not Region.GLOBAL])
def test_a_pin_keeps_the_targets_of_its_region_alone(region):
    assert [target.handling.region for target in within(EVERYWHERE * 2, pin(region.value))] == [region, region]


def test_neither_the_whole_world_nor_the_operators_machines_are_the_eu():
    with pytest.raises(RegionUnavailable):
        within(targets(Region.GLOBAL, Region.LOCAL, Region.US, Region.UK, Region.CH), pin("eu"))


def test_fallbacks_are_pinned_too_and_keep_their_order():
    found = within(targets(Region.US, Region.EU, Region.GLOBAL, Region.EU), pin("eu"))
    assert [target.name for target in found] == ["1", "3"]


@pytest.mark.parametrize("region", ["europe", "e u", "eu ", "eu-west-1", "*"])
def test_a_misspelt_pin_and_one_to_nowhere_refuse(region):
    for pinned in (pin(region), pin("eu", "us")):
        with pytest.raises(RegionUnavailable):
            within(EVERYWHERE, pinned)


def test_what_is_promised():
    assert promised("eu", Region.EU) is Region.EU
    assert promised("", Region.EU) is Region.EU
    assert promised("", Region.GLOBAL) is None
    assert promised("", Region.LOCAL) is None
    assert promised("us", Region.GLOBAL) is Region.US


@pytest.mark.parametrize(("stated", "promise"), list(product(Geography, [None, *Region])))
def test_astray(stated, promise):
    kept = {(Geography.US, Region.US), (Geography.EU, Region.EU)}
    expected = promise is not None and stated is not Geography.GLOBAL and (stated, promise) not in kept
    assert astray(stated, promise) is expected


@pytest.mark.parametrize(
    ("asked", "pins", "left"),
    [
        (None, (), "0123"),
        ("us", (), "023"),
        ("global", (), "23"),
        ("eu", ("eu",), "123"),
        ("mars", (), "23"),
    ],
)
def test_a_requests_own_region_keeps_what_is_not_stated_to_be_elsewhere(asked, pins, left):
    places = targets(Region.US, Region.EU, Region.GLOBAL, Region.LOCAL)
    assert "".join(target.name for target in consistent(places, asked, pin(*pins))) == left


@pytest.mark.parametrize(
    ("asked", "pins", "places"),
    [
        ("global", ("us",), (Region.US,)),
        ("eu", ("us",), (Region.US,)),
        ("", ("us",), (Region.US,)),
        ("us", ("eu",), (Region.EU,)),
        ("us", (), (Region.EU,)),
        ("global", (), (Region.US,)),
    ],
)
def test_a_request_may_not_contradict_its_pin_or_the_operator(asked, pins, places):
    with pytest.raises(RegionUnavailable) as refused:
        consistent(targets(*places), asked, pin(*pins))
    assert refused.value.param == "inference_geo"
