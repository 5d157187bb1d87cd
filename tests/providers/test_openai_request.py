from __future__ import annotations

import pytest

from metering.usage import ServiceTier, Variant
from providers.head import read_members
from providers.openai_request import read_variant


@pytest.mark.parametrize(
    ("named", "tier"),
    [
        ('"auto"', ServiceTier.STANDARD),
        ('"default"', ServiceTier.STANDARD),
        ('"flex"', ServiceTier.FLEX),
        ('"priority"', ServiceTier.PRIORITY),
        ('"fast"', ServiceTier.PRIORITY),
        ('"scale"', ServiceTier.PROVISIONED),
        ('"invented"', ServiceTier.OTHER),
        ("null", ServiceTier.STANDARD),
        ("5", ServiceTier.STANDARD),
    ],
)
def test_the_service_tier_is_a_closed_word(named, tier):
    assert read_variant(read_members(f'{{"service_tier":{named}}}'.encode())) == Variant(tier=tier)
