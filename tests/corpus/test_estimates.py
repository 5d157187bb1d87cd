"""What docs/billing.md says of the estimates holds on the recordings."""

import pytest

from benchmarks.estimates.measure import Row, hidden, inputs, outputs, read_results
from benchmarks.estimates.recordings import exchanges
from tests.corpus.recordings import CORPUS, NO_CORPUS

APIS = ("OpenAI chat", "OpenAI responses", "Anthropic messages", "Gemini generate")


@pytest.fixture(scope="module")
def found():
    if not CORPUS.exists():
        pytest.skip(NO_CORPUS)
    return list(exchanges(CORPUS.parent))


@pytest.fixture(scope="module")
def rows(found):
    return {(row.api, row.what): row for row in inputs(found)}


@pytest.mark.parametrize("what", ["text", "tools", "images"])
@pytest.mark.parametrize("api", APIS)
def test_the_expected_input_is_without_bias(rows, api, what):
    row = rows[api, what]
    assert 0.9 <= row.middle <= 1.1
    assert row.within >= 0.95


def test_the_bound_is_rarely_exceeded(rows):
    for (_, what), row in rows.items():
        if what in {"text", "tools", "images"}:
            assert sum(bound < 1 for bound in row.bounds) <= 0.03 * len(row.bounds)


def test_the_output_of_streams_is_without_bias(found):
    rows = {(row.api, row.what): row for row in outputs(found)}
    for api in APIS:
        for what in ("streams of text", "streams with calls of tools"):
            assert 0.9 <= rows[api, what].middle <= 1.1, (api, what)


def test_the_results_that_a_model_read_are_without_bias(found):
    [row] = read_results(found)
    assert len(row.ratios) >= 15
    assert 0.9 <= row.middle <= 1.1
    assert row.within >= 0.8


def test_reasoning_by_time_is_without_bias(found):
    every = hidden(found)[-1]
    assert every.what == "all"
    assert len(every.ratios) >= 100
    assert 0.7 <= every.middle <= 1.3


def test_a_row_prints_what_it_knows():
    line = Row("an API", "text", (0.4, 1.0, 1.0, 1.2, 2.0), (0.9, 1.0, 2.0, 2.0, 2.0)).line()
    assert line == "| an API | text | 5 | 1.00 | 0.46 to 1.92 | 60.0% | 80.0% |"
