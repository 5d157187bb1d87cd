"""The decision between a record and a void, for every way that an exchange can end."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import AbortRule
from gateway.inference.accounting import Identity, Settlement, estimated, record, settlement
from gateway.inference.answer import Answer, Ending
from gateway.inference.estimate import Expected
from metering.pricing import build
from metering.usage import STANDARD, Basis, Outcome, Report, ServiceTier, Usage, Variant

REPORTED = Usage(in_uncached=100, cache_read=20, out_visible=30)
EXPECTED = Expected(uncached=400, cached=100)


def settle(ending, usage=None, *, output=7, status=200, written=True, begun=True, **more):
    report = Report(usage=usage, **more)
    answer = Answer(ending, status, written=written, begun=begun, report=report, output=output)
    return settlement(answer, expected=EXPECTED)


@pytest.mark.parametrize("usage", [None, REPORTED])
@pytest.mark.parametrize("ending", [Ending.NOTHING, Ending.REFUSED, Ending.FAILED])
def test_what_failed_by_the_providers_doing_costs_nothing(ending, usage):
    assert settle(ending, usage) is None


def test_a_request_that_no_provider_saw_costs_nothing():
    assert settle(Ending.STOPPED, status=0, written=False) is None


def test_a_client_that_left_before_the_answer_pays_the_expected_input():
    settled = settle(Ending.STOPPED, status=0, output=0)
    assert settled.basis is Basis.PARTIAL
    assert (settled.usage.in_uncached, settled.usage.cache_read, settled.usage.output_tokens) == (400, 100, 0)


def test_a_whole_answer_is_the_providers_count():
    settled = settle(Ending.WHOLE, REPORTED)
    assert settled.basis is Basis.REPORTED
    assert (settled.usage.in_uncached, settled.usage.cache_read, settled.usage.out_visible) == (100, 20, 30)
    assert settled.usage.searches == 0  # unknown becomes zero here


@pytest.mark.parametrize(
    ("usage", "inputs", "outputs"),
    [
        (None, (400, 100), 7),
        (Usage(in_uncached=100), (100, 0), 7),
        (Usage(out_visible=3), (400, 100), 3),  # a whole answer's stated output is its output
        (Usage(cache_read=450), (50, 450), 7),
    ],
)
def test_a_side_of_a_whole_answer_that_was_not_stated_is_estimated(usage, inputs, outputs):
    settled = settle(Ending.WHOLE, usage)
    assert settled.basis is Basis.PARTIAL
    assert (settled.usage.in_uncached, settled.usage.cache_read) == inputs
    assert settled.usage.output_tokens == outputs


@pytest.mark.parametrize(
    ("ending", "begun", "usage", "expected"),
    [
        (Ending.STOPPED, True, None, 40),
        (Ending.STOPPED, True, Usage(in_uncached=100), 40),
        (Ending.STOPPED, True, Usage(in_uncached=100, out_visible=3, out_reasoning=9), 9),  # stated
        (Ending.STOPPED, False, None, 0),  # nothing was delivered
        (Ending.BROKEN, True, None, 0),  # by the provider's doing
        (Ending.WHOLE, True, Usage(in_uncached=100), 0),
    ],
)
def test_what_was_reasoned_unseen_is_charged_of_a_stream_that_was_left(ending, begun, usage, expected):
    answer = Answer(ending, 200, written=True, begun=begun, report=Report(usage=usage), output=7)
    settled = settlement(answer, expected=EXPECTED, reasoned=40)
    assert settled.usage.out_reasoning == expected


@pytest.mark.parametrize("ending", [Ending.BROKEN, Ending.STOPPED])
@pytest.mark.parametrize(
    ("usage", "inputs", "outputs"),
    [
        (None, 500, 7),
        (Usage(in_uncached=100), 100, 7),
        (Usage(in_uncached=100, out_visible=30), 100, 30),  # stated above what was seen
        (Usage(in_uncached=100, out_visible=3), 100, 7),  # seen above what was stated so far
        (Usage(in_uncached=100, out_visible=3, out_reasoning=2), 100, 7),
        (Usage(out_visible=3), 500, 7),
        (Usage(in_uncached=0, cache_read=90), 90, 7),  # cached input is not charged again at the estimate
    ],
)
def test_an_answer_that_is_not_whole_takes_the_larger_of_stated_and_counted(ending, usage, inputs, outputs):
    settled = settle(ending, usage)
    assert settled.basis is Basis.PARTIAL
    assert (settled.usage.input_tokens, settled.usage.output_tokens) == (inputs, outputs)


COUNT = st.none() | st.integers(0, 10_000)


@given(
    ending=st.sampled_from(Ending),
    usage=st.none() | st.builds(Usage, in_uncached=COUNT, cache_read=COUNT, out_visible=COUNT, out_reasoning=COUNT),
    output=st.integers(0, 10_000),
)
def test_nothing_that_was_stated_is_lost_and_nothing_unknown_is_free(ending, usage, output):
    settled = settle(ending, usage, output=output)
    if settled is None:
        return
    stated = usage or Usage()
    assert settled.usage.input_tokens >= stated.input_tokens
    assert settled.usage.output_tokens >= stated.output_tokens
    if stated.in_uncached is None:
        assert settled.usage.input_tokens >= EXPECTED.tokens
    if stated.out_visible is None:
        assert settled.usage.output_tokens >= output
    both = stated.in_uncached is not None and stated.out_visible is not None
    assert (settled.basis is Basis.REPORTED) == (ending is Ending.WHOLE and both)


def test_media_that_were_never_counted_are_expected_at_their_own_price():
    expected = Expected(uncached=400, cached=100, audio=150, video=200)
    settled = settlement(Answer(Ending.STOPPED, 200, written=True, begun=True, report=Report()), expected=expected)
    assert settled is not None
    found = settled.usage
    assert (found.in_uncached, found.video_in, found.audio_in, found.cache_read) == (250, 200, 150, 100)
    assert found.input_tokens == 500
    running = estimated(expected, 7).usage
    assert (running.in_uncached, running.video_in, running.audio_in, running.input_tokens) == (250, 200, 150, 500)


# The record.

PRICE = build(
    {name: ((0, Decimal(usd)),) for name, usd in {"input": 1, "output": 2, "video_in": 10, "searches": 1_000}.items()},
    {"flex": Fraction(1, 2)},
    credit_usd=Decimal("0.01"),
    version="t",
)
FLEX, PRIORITY = Variant(ServiceTier.FLEX), Variant(ServiceTier.PRIORITY)


def recorded(settled, outcome=Outcome.COMPLETED, *, asked=STANDARD, **more):
    identity = Identity("r", "p", "openai", "m", 1, "t")
    return record(identity, settled, outcome, price=PRICE, asked=asked, price_of=lambda _: None, settled_ms=2, **more)


@pytest.mark.parametrize(
    ("stated", "asked", "variant", "cost", "unpriced"),
    [
        (None, STANDARD, "standard", 10_000, 0),
        (None, FLEX, "flex", 5_000, 0),
        (STANDARD, FLEX, "standard", 10_000, 0),  # the provider's last word goes first
        (FLEX, STANDARD, "flex", 5_000, 0),
        (PRIORITY, FLEX, "priority", 10_000, 1),
        (Variant(ServiceTier.OTHER), STANDARD, "other", 10_000, 1),
    ],
)
def test_the_tier_is_the_providers_word_else_what_was_asked(stated, asked, variant, cost, unpriced):
    found = recorded(Settlement(Usage(in_uncached=100).settled(), Basis.REPORTED, Report(variant=stated)), asked=asked)
    assert (found.variant, found.cost, found.unpriced) == (variant, cost, unpriced)


def test_what_the_provider_stated_without_a_price_marks_the_record():
    usage = Usage(in_uncached=1).settled()
    assert recorded(Settlement(usage, Basis.REPORTED, Report(unpriced=True))).unpriced == 1
    assert recorded(Settlement(Usage(audio_in=1).settled(), Basis.REPORTED)).unpriced == 1
    assert recorded(Settlement(usage, Basis.REPORTED)).unpriced == 0


def test_a_record_counts_the_parts_of_other_models_too():
    stated = Report(others=(("other", Usage(in_uncached=5, out_visible=6)),))
    found = recorded(Settlement(Usage(in_uncached=1).settled(), Basis.REPORTED, stated))
    assert (found.in_uncached, found.out_visible, found.cost, found.unpriced) == (6, 6, 1_800, 1)


@pytest.mark.parametrize(
    ("settled", "searches"),
    [
        (Settlement(Usage().settled(), Basis.REPORTED), 1),
        (Settlement(Usage(searches=2).settled(), Basis.REPORTED), 2),
        (Settlement(Usage().settled(), Basis.PARTIAL, answered=False), 0),
        (estimated(Expected(), 0), 1),
    ],
)
def test_a_model_that_searches_by_itself_has_searched_once_it_answers(settled, searches):
    found = recorded(settled, searches=True)
    assert (found.searches, found.cost) == (searches, searches * 100_000)


@pytest.mark.parametrize(
    ("abort", "charge"), [(AbortRule.PRODUCED, 101_600), (AbortRule.INPUT, 1_000), (AbortRule.NOTHING, 0)]
)
def test_a_cut_answer_is_charged_by_the_rule_and_costs_what_it_costs(abort, charge):
    usage = Usage(in_uncached=1, video_in=1, out_visible=3, searches=1).settled()
    found = recorded(Settlement(usage, Basis.PARTIAL), Outcome.CLIENT_ABORT, abort=abort)
    assert (found.charge, found.cost) == (charge, 101_600)


def test_the_length_of_each_context_decides_its_own_step():
    steps = build(
        {"input": ((0, Decimal(1)), (100, Decimal(2))), "output": ((0, Decimal(1)),)},
        {},
        credit_usd=Decimal("0.01"),
        version="t",
    )
    usage = Usage(in_uncached=160, out_visible=0)
    contexts = (Usage(in_uncached=80, out_visible=0),) * 2
    settled = settle(Ending.WHOLE, usage, contexts=contexts)
    found = record(
        Identity("r", "p", "o", "m", 1, "t"),
        settled,
        Outcome.COMPLETED,
        price=steps,
        asked=STANDARD,
        price_of=lambda _: None,
        settled_ms=2,
    )
    assert found.cost == 160 * 100


@pytest.mark.parametrize(
    ("usage", "output", "expected", "basis"),
    [
        (Usage(in_uncached=100, out_visible=0), 300, 300, Basis.PARTIAL),
        (Usage(in_uncached=100, out_visible=0, out_reasoning=0), 300, 300, Basis.PARTIAL),
        (Usage(in_uncached=100, out_visible=0), 15, 0, Basis.REPORTED),  # a blank, or marks of a template
        (Usage(in_uncached=100, out_visible=0, out_reasoning=9), 300, 9, Basis.REPORTED),
        (Usage(in_uncached=0, out_visible=0), 300, 0, Basis.REPORTED),  # it says that it counts nothing
        (Usage(in_uncached=100, out_visible=1), 300, 1, Basis.REPORTED),
    ],
)
@pytest.mark.parametrize("begun", [True, False], ids=["stream", "object"])
def test_text_that_was_delivered_is_not_none(usage, output, expected, basis, begun):
    settled = settle(Ending.WHOLE, usage, output=output, begun=begun)
    assert (settled.usage.output_tokens, settled.basis) == (expected, basis)
