"""Which counts can be those of a request, by its model and what it asks for."""

import pytest

from gateway.catalog.catalog import Model
from gateway.inference.belief import TOLERANCE, UNKNOWN_WINDOW, believed
from gateway.inference.holds import MOST_CALLS, UNKNOWN_OUTPUT
from metering.usage import Report, Usage
from providers.dialect import Head

MODEL = Model("m", (), context_window=100_000, max_output=10_000)
HEAD = Head(model="m")
MOST_IN, MOST_OUT = 100_000 * TOLERANCE, 10_000 * TOLERANCE


@pytest.mark.parametrize(
    ("model", "head", "most_in", "most_out"),
    [
        (MODEL, HEAD, MOST_IN, MOST_OUT),
        (MODEL, Head(model="m", choices=3), 3 * MOST_IN, 3 * MOST_OUT),
        (
            MODEL,
            Head(model="m", server_tools=frozenset({"anthropic_web_search"})),
            MOST_IN * (MOST_CALLS + 1),
            MOST_OUT * (MOST_CALLS + 1),
        ),
        (Model("m", (), context_window=100_000), HEAD, MOST_IN, MOST_IN),
        (Model("m", ()), HEAD, UNKNOWN_WINDOW, UNKNOWN_OUTPUT * TOLERANCE),
    ],
)
def test_a_side_beyond_what_its_model_can_do_is_not_stated(model, head, most_in, most_out):
    true = Report(Usage(in_uncached=most_in - 5, cache_read=5, out_visible=most_out - 5, out_reasoning=5))
    assert believed(true, model, head, 100) is true
    found = believed(Report(Usage(in_uncached=most_in - 5, cache_read=6, out_visible=3, searches=2)), model, head, 100)
    assert (found.suspect, found.usage) == (True, Usage(out_visible=3, searches=2))
    found = believed(Report(Usage(in_uncached=9, out_visible=most_out, out_reasoning=1)), model, head, 100)
    assert (found.suspect, found.usage) == (True, Usage(in_uncached=9))


def test_nor_are_calls_that_nobody_makes_or_parts_of_other_models():
    found = believed(Report(Usage(in_uncached=9, out_visible=1, searches=10**6)), MODEL, HEAD, 100)
    assert (found.suspect, found.usage) == (True, Usage(in_uncached=9, out_visible=1))
    part = Usage(in_uncached=10**9, out_visible=1)
    good = Usage(in_uncached=1, out_visible=1)
    found = believed(Report(good, others=(("other", part), ("third", good))), MODEL, HEAD, 100)
    assert (found.suspect, found.usage, found.others) == (True, good, (("third", good),))


def test_nothing_stated_is_nothing_doubted():
    assert believed(Report(), MODEL, HEAD, 100) == Report()


def test_many_texts_are_more_than_one_window():
    report = Report(Usage(in_uncached=300_000, out_visible=0))
    assert believed(report, Model("m", (), context_window=8_192), HEAD, 100).suspect
    assert believed(report, Model("m", (), context_window=8_192), HEAD, 300_000) is report
