"""A pin refuses and never widens; an answer that says that it came from elsewhere is found out."""

from dataclasses import dataclass
from itertools import product

import pytest

from gateway.config import Region
from gateway.regions import astray, promised, within
from metering.usage import Geography


@dataclass(frozen=True)
class Provider:
    region: Region


@dataclass(frozen=True)
class Target:
    provider: Provider
    name: str = ""


def targets(*regions: Region) -> list[Target]:
    return [Target(Provider(region), f"{index}") for index, region in enumerate(regions)]


EVERYWHERE = targets(*Region)


@pytest.mark.parametrize("region", ["", "global", "GLOBAL"])
def test_without_a_pin_every_target_stays_in_order(region):
    assert within(EVERYWHERE, region) == tuple(EVERYWHERE)


@pytest.mark.parametrize("region", [region for region in Region if region is not Region.GLOBAL])
def test_a_pin_keeps_the_targets_of_its_region_alone(region):
    assert [target.provider.region for target in within(EVERYWHERE * 2, region.value)] == [region, region]
    assert within(EVERYWHERE, region.value.upper()) == within(EVERYWHERE, region.value)


def test_neither_the_whole_world_nor_the_operators_machines_are_the_eu():
    assert within(targets(Region.GLOBAL, Region.LOCAL, Region.US, Region.UK, Region.CH), "eu") == ()


def test_fallbacks_are_pinned_too_and_keep_their_order():
    found = within(targets(Region.US, Region.EU, Region.GLOBAL, Region.EU), "eu")
    assert [target.name for target in found] == ["1", "3"]


@pytest.mark.parametrize("region", ["europe", "e u", "eu ", "eu-west-1", "*"])
def test_a_misspelt_pin_refuses(region):
    assert within(EVERYWHERE, region) == ()


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
