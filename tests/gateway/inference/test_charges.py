"""Which price each part of a request has, and what is marked because it has none."""

from decimal import Decimal

import pytest

from gateway.inference.charges import charges
from metering.pricing import build
from metering.usage import PARTS, Report, ServiceTier, Usage, Variant

STANDARD = Variant()
MILLION_USD = 100_000_000  # micro-credits a dollar, at a cent a credit


def priced(**row):
    stated = {name: steps if isinstance(steps, tuple) else ((0, Decimal(str(steps))),) for name, steps in row.items()}
    return build(stated, {}, credit_usd=Decimal("0.01"), version="t")


SONNET = priced(
    input=((0, Decimal(3)), (200_000, Decimal(6))),
    output=((0, Decimal(15)), (200_000, Decimal("22.5"))),
    searches=10_000,
)
OPUS = priced(input=15, output=75, searches=10_000)
PRICES = {"sonnet": SONNET, "sonnet-2026": SONNET, "opus": OPUS}


def charged(usage, report=None, **more):
    return charges(
        usage.settled(), report or Report(usage), price=SONNET, variant=STANDARD, price_of=PRICES.get, **more
    )


def usd(amount):
    return int(Decimal(str(amount)) * MILLION_USD / 1_000_000)


def test_what_was_asked_for_costs_its_price_and_is_not_marked():
    usage = Usage(in_uncached=1_000, out_visible=100, searches=2)
    found = charged(usage, Report(usage, model="sonnet-2026"))
    assert found == (usage.settled(), usd(3_000 + 1_500 + 20_000), usd(3_000 + 1_500 + 20_000), False)


@pytest.mark.parametrize(
    ("members", "model", "cost", "unpriced"),
    [
        ({"model", "fallbacks"}, "opus", 15_000 + 7_500, False),
        ({"model", "fallbacks"}, "sonnet", 3_000 + 1_500, False),
        ({"model", "fallbacks"}, "nobody", 3_000 + 1_500, False),
        ({"model"}, "opus", 3_000 + 1_500, True),
        ({"model"}, "nobody", 3_000 + 1_500, False),
        ({"model"}, None, 3_000 + 1_500, False),
    ],
)
def test_the_price_follows_the_model_that_answered_where_the_request_allowed_it(members, model, cost, unpriced):
    usage = Usage(in_uncached=1_000, out_visible=100)
    found = charged(usage, Report(usage, model=model), members=members)
    assert (found.cost, found.unpriced) == (usd(cost), unpriced)


def test_a_part_on_another_model_costs_its_price_and_joins_the_record():
    usage = Usage(in_uncached=1_000, out_visible=100)
    found = charged(usage, Report(usage, others=(("opus", Usage(in_uncached=50, out_visible=5)),)))
    assert found == (Usage(in_uncached=1_050, out_visible=105).settled(), usd(4_500 + 750 + 375), usd(5_625), False)


def test_a_part_on_a_model_that_nobody_priced_is_marked():
    usage = Usage(in_uncached=1_000)
    found = charged(usage, Report(usage, others=(("nobody", Usage(in_uncached=50)),)))
    assert (found.cost, found.unpriced) == (usd(1_050 * 3), True)


@pytest.mark.parametrize(
    ("sizes", "cost"),
    [
        ([60_000] * 4, 240_000 * 3),
        ([150_000, 200_001], 150_000 * 3 + 200_001 * 6),
        ([240_000], 240_000 * 6),
        ([], 240_000 * 6),
        ([1, 2], 240_000 * 6),  # do not add up: the sum is all that is known
    ],
)
def test_a_long_context_is_one_model_requests_own(sizes, cost):
    total = sum(sizes) if len(sizes) > 1 and sizes != [1, 2] else 240_000
    usage = Usage(in_uncached=total, out_visible=0, searches=3)
    contexts = tuple(Usage(in_uncached=size, out_visible=0) for size in sizes)
    found = charged(usage, Report(usage, contexts=contexts))
    assert (found.cost, found.usage) == (usd(cost + 30_000), usage.settled())


def test_each_context_keeps_its_own_output_and_cache():
    contexts = (
        Usage(in_uncached=10, cache_read=199_990, out_visible=100),
        Usage(in_uncached=11, cache_read=199_990, out_reasoning=7),
    )
    usage = Usage(in_uncached=21, cache_read=399_980, out_visible=100, out_reasoning=7)
    found = charged(usage, Report(usage, contexts=contexts))
    assert found.cost == usd(200_000 * 3 + 100 * 15 + 200_001 * 6 + Decimal("157.5"))


def test_a_model_that_searches_by_itself_is_charged_for_one_search_that_nobody_states():
    assert charged(Usage(in_uncached=1), searches=True).usage.searches == 1
    assert charged(Usage(in_uncached=1, searches=3), searches=True).usage.searches == 3
    assert charged(Usage(in_uncached=1)).usage.searches == 0


def test_whatever_has_no_price_of_its_own_is_marked():
    assert charged(Usage(in_uncached=1), Report(unpriced=True)).unpriced
    assert charged(Usage(audio_in=1)).unpriced
    assert charged(Usage(code_runs=1)).unpriced
    flex = Variant(tier=ServiceTier.FLEX)
    usage = Usage(in_uncached=1).settled()
    assert charges(usage, Report(), price=SONNET, variant=flex, price_of=PRICES.get).unpriced


def test_parts_of_a_count_go_with_it():
    price = priced(input=1, output=1, video_in=12, searches=10, map_searches=14)
    usage = Usage(in_uncached=30, video_in=10, searches=2, map_searches=1).settled()
    contexts = (Usage(in_uncached=10, video_in=10), Usage(in_uncached=20))
    found = charges(usage, Report(contexts=contexts), price=price, variant=STANDARD, price_of=PRICES.get)
    assert found.cost == -(-usd(20 + 120 + 10 + 14) // 1)
    assert {name: getattr(found.usage, name) for name in PARTS if getattr(found.usage, name)} == {
        "video_in": 10,
        "map_searches": 1,
    }
