"""The decision between a record and a void, for every way that an exchange can end."""

import pytest

from gateway.inference.accounting import Ended, settlement
from metering.usage import Basis, Outcome, Report, Usage

REPORTED = Usage(in_uncached=100, cache_read=20, out_visible=30)


def ended(**facts):
    base = {
        "answered": True,
        "complete": True,
        "written": True,
        "provider_failed": False,
        "report": Report(usage=REPORTED),
        "input_estimate": 500,
        "output_estimate": 7,
        "outcome": Outcome.COMPLETED,
    }
    return Ended(**{**base, **facts})


@pytest.mark.parametrize(
    "facts",
    [
        {"written": False},  # no provider saw it
        {"written": False, "provider_failed": True},
        {"written": True, "provider_failed": True},  # failed before the first byte
    ],
)
def test_void(facts):
    assert settlement(ended(answered=False, report=Report(), **facts)) is None


def test_a_client_that_left_before_the_answer_pays_the_estimated_input():
    settled = settlement(ended(answered=False, complete=False, report=Report(), outcome=Outcome.CLIENT_ABORT))
    assert settled.basis is Basis.PARTIAL
    assert (settled.usage.in_uncached, settled.usage.output_tokens) == (500, 0)


def test_a_complete_answer_is_the_providers_count():
    settled = settlement(ended())
    assert settled.basis is Basis.REPORTED
    assert (settled.usage.in_uncached, settled.usage.cache_read, settled.usage.out_visible) == (100, 20, 30)
    assert settled.usage.searches == 0  # unknown becomes zero here


def test_a_complete_answer_without_a_count_is_counted_here():
    settled = settlement(ended(report=Report()))
    assert settled.basis is Basis.PARTIAL
    assert (settled.usage.in_uncached, settled.usage.out_visible) == (500, 7)


@pytest.mark.parametrize(
    ("usage", "counted", "inputs", "outputs"),
    [
        (None, 7, 500, 7),
        (Usage(in_uncached=100), 7, 100, 7),
        (Usage(in_uncached=100, out_visible=30), 7, 100, 30),  # stated above what was seen
        (Usage(in_uncached=100, out_visible=3), 7, 100, 7),  # seen above what was stated so far
        (Usage(in_uncached=100, out_visible=3, out_reasoning=2), 7, 100, 7),
        (Usage(out_visible=3), 7, 500, 7),
    ],
)
def test_a_cut_answer_takes_the_larger_of_stated_and_counted(usage, counted, inputs, outputs):
    settled = settlement(
        ended(complete=False, report=Report(usage=usage), output_estimate=counted, outcome=Outcome.UPSTREAM_CUT)
    )
    assert settled.basis is Basis.PARTIAL
    assert (settled.usage.in_uncached, settled.usage.output_tokens) == (inputs, outputs)


def test_cached_input_alone_is_not_charged_again_at_the_estimate():
    report = Report(usage=Usage(in_uncached=0, cache_read=90))
    settled = settlement(ended(complete=False, report=report, outcome=Outcome.CLIENT_ABORT))
    assert (settled.usage.in_uncached, settled.usage.cache_read) == (0, 90)
