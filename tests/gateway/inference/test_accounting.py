"""The decision between a record and a void, for every way that an exchange can end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.accounting import settlement
from gateway.inference.answer import Answer, Ending
from gateway.inference.estimate import Expected
from metering.usage import Basis, Report, Usage

REPORTED = Usage(in_uncached=100, cache_read=20, out_visible=30)
EXPECTED = Expected(uncached=400, cached=100)


def settle(ending, usage=None, *, output=7, status=200, written=True, **more):
    answer = Answer(ending, status, written=written, begun=True, report=Report(usage=usage, **more), output=output)
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
