from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, ServiceTier, Usage
from providers.answers.counts import Counted, count
from providers.openai.usage import add_usage, chat_usage, responses_usage, service_tier

COUNTS = st.none() | st.integers(0, 5000)
JUNK = COUNTS | st.booleans() | st.text(max_size=3) | st.floats() | st.integers() | st.just([]) | st.just({})


def counts(usage: object, **more: bool) -> Usage | None:
    """The counts of a chat usage object that leaves no doubt."""
    counted = chat_usage(usage, **more)
    assert not counted.suspect
    assert not counted.unpriced
    return counted.usage


WHOLE = {
    "prompt_tokens": 1000,
    "completion_tokens": 300,
    "total_tokens": 1300,
    "prompt_tokens_details": {
        "cached_tokens": 400,
        "cache_write_tokens": 100,
        "audio_tokens": 30,
        "image_tokens": 20,
    },
    "completion_tokens_details": {"reasoning_tokens": 120, "audio_tokens": 50, "image_tokens": 10},
}
WHOLE_COUNTS = Usage(
    in_uncached=450,
    cache_read=400,
    cache_write_other=100,
    audio_in=30,
    image_in=20,
    out_visible=120,
    out_reasoning=120,
    audio_out=50,
    image_out=10,
)


def test_parts_are_taken_out_of_what_they_are_part_of():
    assert counts(WHOLE) == WHOLE_COUNTS


def test_what_is_absent_stays_unknown_and_zero_stays_zero():
    assert counts({"prompt_tokens": 5}) == Usage(in_uncached=5)
    zeros = {"prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
    assert counts(zeros) == Usage(in_uncached=5, cache_read=0, out_visible=0)


@pytest.mark.parametrize("usage", [None, {}, [], "x", 5, {"prompt_tokens": "five"}, {"prompt_tokens": None}])
def test_no_counts_is_no_usage(usage):
    assert counts(usage) is None
    assert responses_usage(usage).usage is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1000.0, "completion_tokens": 50.0, "total_tokens": 1050.0}, (1000, 50)),
        ({"prompt_tokens": "300", "completion_tokens": " 400 "}, (300, 400)),
        ({"prompt_tokens": "12.0", "completion_tokens": 1e2}, (12, 100)),
        ({"prompt_tokens": 12345.4, "completion_tokens": "0.1"}, (12346, 1)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3)),
    ],
)
def test_other_forms_of_a_number(usage, expected):
    found = counts(usage)
    assert (found.in_uncached, found.out_visible) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 300, "total_tokens": 700}, (300, 400)),
        ({"completion_tokens": 25, "total_tokens": 125}, (100, 25)),
        ({"completion_tokens": 25, "total_tokens": 25}, (None, 25)),  # no prompt is empty
        ({"completion_tokens": 25}, (None, 25)),
        ({"prompt_tokens": 300}, (300, None)),
        ({"total_tokens": 700}, (None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 25, "total_tokens": 125}, (100, 25)),
        ({"prompt_tokens": 300, "total_tokens": 300}, (300, 0)),
    ],
)
def test_each_side_alone_and_what_the_total_says_of_the_other(usage, expected):
    found = counts(usage) or Usage()
    assert (found.in_uncached, found.out_visible) == expected


def test_a_reported_zero_stands_and_is_suspect():
    found = chat_usage({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    assert (found.usage.in_uncached, found.usage.out_visible, found.suspect) == (0, 0, True)
    assert chat_usage({"prompt_tokens": 0, "completion_tokens": 4}, ended=False) == (Usage(out_visible=4), False, False)


def test_a_total_without_a_surplus_says_nothing_before_the_end():
    assert counts({"prompt_tokens": 300, "total_tokens": 300}, ended=False) == Usage(in_uncached=300)
    assert counts({"prompt_tokens": 300, "total_tokens": 304}, ended=False) == Usage(in_uncached=300, out_visible=4)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": -6}, (None, None)),
        ({"prompt_tokens": 10**12, "completion_tokens": 1, "total_tokens": 10**12}, (None, 1)),
        ({"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": 10}, (None, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 1e300}, (5, None)),
        ({"prompt_tokens": "-7", "completion_tokens": 3}, (None, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 2**70}, (5, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 4}, (5, 3)),
        ({"prompt_tokens": 50, "total_tokens": 4}, (50, None)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}, (None, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 9}}, (5, None)),
    ],
)
def test_a_count_that_contradicts_the_others_is_not_trusted(usage, expected):
    counted = chat_usage(usage)
    assert counted.suspect
    found = counted.usage or Usage()
    assert (found.in_uncached, found.out_visible) == expected


def test_a_part_beyond_its_side_is_cut_to_it_where_the_total_confirms_the_side():
    usage = {"prompt_tokens": 392, "completion_tokens": 37, "total_tokens": 429}
    cached = chat_usage(usage | {"prompt_tokens_details": {"cached_tokens": 461, "image_tokens": 4}})
    assert cached == (Usage(in_uncached=0, cache_read=392, image_in=0, out_visible=37), True, False)
    reasoning = chat_usage(usage | {"completion_tokens_details": {"reasoning_tokens": 95}})
    assert reasoning == (Usage(in_uncached=392, out_visible=0, out_reasoning=37), False, False)
    image = chat_usage(usage | {"completion_tokens_details": {"image_tokens": 95}})
    assert image == (Usage(in_uncached=392, out_visible=0, image_out=37), True, False)


def test_reasoning_beside_the_completion_shows_in_the_total():
    usage = {"prompt_tokens": 390, "completion_tokens": 26, "total_tokens": 513}
    details = {"completion_tokens_details": {"reasoning_tokens": 97}}
    assert counts(usage | details) == Usage(in_uncached=390, out_visible=26, out_reasoning=97)


def test_a_surplus_in_the_total_was_produced_even_if_nobody_says_what_it_was():
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    assert counts(usage) == Usage(in_uncached=35, out_visible=12, out_reasoning=62)


def test_a_surplus_that_equals_the_cached_tokens_was_read_beside_the_prompt():
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 1150}
    assert counts(usage | {"prompt_tokens_details": {"cached_tokens": 1000}}) == Usage(
        in_uncached=100, cache_read=1000, out_visible=50
    )
    written = {"prompt_tokens_details": {"cached_tokens": 700, "cache_write_tokens": 300}}
    assert counts(usage | written) == Usage(in_uncached=100, cache_read=700, cache_write_other=300, out_visible=50)


@pytest.mark.parametrize(
    "cached",
    [
        {"prompt_tokens_details": {"cached_tokens": 40}, "num_cached_tokens": 1},
        {"prompt_token_details": {"cached_tokens": 40}},
        {"prompt_cache_hit_tokens": 40, "prompt_cache_miss_tokens": 60},
        {"num_cached_tokens": 40},
        {"cached_tokens": 40, "prompt_tokens_details": None},
        {"cached_tokens": 40, "prompt_tokens_details": {"cached_tokens": 0}},
    ],
)
def test_other_names_of_the_cache(cached):
    assert counts({"prompt_tokens": 100} | cached) == Usage(in_uncached=60, cache_read=40)


def test_searches_of_compatible_hosts():
    assert counts({"prompt_tokens": 1, "server_tool_use_details": {"web_search_requests": 3}}).searches == 3
    assert counts({"prompt_tokens": 1, "num_search_queries": 2}).searches == 2


def test_responses():
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 40},
        "total_tokens": 150,
    }
    tools = {"image_gen": {"input_tokens": 0}, "web_search": {"num_requests": 2}}
    found = Usage(in_uncached=50, cache_read=30, cache_write_other=20, out_visible=10, out_reasoning=40, searches=2)
    assert responses_usage(usage, tool_usage=tools) == (found, False, False)
    assert responses_usage(None, tool_usage=tools) == (Usage(searches=2), False, False)
    tools["image_gen"]["input_tokens"] = 9
    assert responses_usage(usage, tool_usage=tools) == (found, False, True)


@pytest.mark.parametrize(
    "more",
    [
        {"video_tokens": 9},
        {"prompt_tokens_details": {"video_tokens": 9}},
        {"completion_tokens_details": {"video_tokens": 0.5}},
        {"citation_tokens": "12"},
        {"num_sources_used": 3},
        {"something": {"nested": [{"tokens": 1}]}},
        {
            "cache_write_tokens_details": 1,
            "prompt_tokens_details": {"cache_write_tokens_details": {"ttl_12h_tokens": 5}},
        },
        {"server_tool_use": {"code_runs": 1}},
    ],
)
def test_what_is_stated_and_not_known_is_unpriced(more):
    counted = chat_usage({"prompt_tokens": 10, "completion_tokens": 1} | more)
    assert counted == (Usage(in_uncached=10, out_visible=1), False, True)


@pytest.mark.parametrize(
    "more",
    [
        {"video_tokens": 0, "audio_prompt_tokens": 0, "prompt_tokens_details": {"video_tokens": 0, "x": None}},
        {"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 3}, "market_cost": 2},
        {"queue_time": 0.2, "prompt_time": 1, "total_time": 2.5, "latency_checkpoint": {"total_duration_ms": 3}},
        {"cost_in_usd_ticks": 99, "num_sources_used": 0, "context_details": {"input_tokens": 9}},
        {"search_context_size": "low", "speed": "fast", "request_count": 1},
        {"prompt_tokens_details": {"text_tokens": 10}, "completion_tokens_details": {"accepted_prediction_tokens": 1}},
    ],
)
def test_money_times_zeros_and_repetitions_are_not_unpriced(more):
    assert counts({"prompt_tokens": 10, "completion_tokens": 1} | more) == Usage(in_uncached=10, out_visible=1)


def laid_over(*usages: object) -> Counted:
    stated: dict = {}
    for usage in usages:
        add_usage(stated, usage)
    return chat_usage(stated)


def test_zeros_after_the_truth_take_nothing_back():
    zeros = {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert laid_over(WHOLE, zeros, {}, None, {"prompt_tokens": None}, "x") == (WHOLE_COUNTS, False, False)


def test_a_total_belongs_to_the_object_that_states_it():
    found = laid_over({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}, {"completion_tokens": 5})
    assert found == (Usage(in_uncached=10, out_visible=5), False, False)
    found = laid_over({"prompt_tokens": 10, "total_tokens": 10}, {"completion_tokens": 5})
    assert found == (Usage(in_uncached=10, out_visible=5), False, False)


LEAVES = [(name,) for name in ("prompt_tokens", "completion_tokens")] + [
    (parent, name) for parent in ("prompt_tokens_details", "completion_tokens_details") for name in WHOLE[parent]
]


@given(st.data())
def test_it_does_not_matter_over_how_many_objects_the_counts_are_spread(data):
    """Each count comes at least once, in one of its forms; before that it may be less, after that zero or absent."""
    pieces: list[dict] = [{} for _ in range(data.draw(st.integers(1, 4)))]
    forms = st.sampled_from([int, float, str])
    for path in LEAVES:
        truth = WHOLE[path[0]] if len(path) == 1 else WHOLE[path[0]][path[1]]
        at = data.draw(st.integers(0, len(pieces) - 1))
        for index, piece in enumerate(pieces):
            number = truth if index == at else 0 if index > at else data.draw(st.integers(0, truth))
            if index == at or data.draw(st.booleans()):
                place = piece if len(path) == 1 else piece.setdefault(path[0], {})
                place[path[-1]] = data.draw(forms)(number)
    assert laid_over(*pieces) == (WHOLE_COUNTS, False, False)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": JUNK,
            "completion_tokens": JUNK,
            "total_tokens": JUNK,
            "prompt_tokens_details": JUNK
            | st.dictionaries(
                st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"]), JUNK
            ),
            "completion_tokens_details": JUNK
            | st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens", "image_tokens"]), JUNK),
            "num_cached_tokens": JUNK,
        },
    )
)
def test_buckets_add_up_to_the_totals_whatever_is_stated(usage):
    found = chat_usage(usage).usage
    if found is None:
        return
    for name in INPUT_COUNTS + OUTPUT_COUNTS:
        assert getattr(found, name) is None or getattr(found, name) >= 0
    prompt, output, total = (count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if found.in_uncached is not None:
        assert found.input_tokens in {prompt, (total or 0) - (output or 0)}
    if found.out_visible is not None:
        assert found.output_tokens in {output, (total or 0) - (prompt or 0)}


@pytest.mark.parametrize(
    ("stated", "tier"),
    [
        ("default", ServiceTier.STANDARD),
        ("auto", ServiceTier.STANDARD),
        ("on_demand", ServiceTier.STANDARD),
        ("flex", ServiceTier.FLEX),
        ("priority", ServiceTier.PRIORITY),
        ("scale", ServiceTier.PROVISIONED),
        ("made up tomorrow", ServiceTier.OTHER),
        (None, None),
        (7, None),
    ],
)
def test_tiers_are_a_closed_list(stated, tier):
    assert service_tier(stated) is tier


@pytest.mark.parametrize(
    ("more", "hour", "other"),
    [
        ({}, None, 50),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 30, "ephemeral_5m_input_tokens": 20}}, 30, 20),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 80}}, 50, 0),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 0}}, None, 50),
    ],
)
def test_an_hours_cache_write_that_a_router_passes_on_has_its_own_price(more, hour, other):
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "cache_creation_input_tokens": 50} | more
    found = chat_usage(usage).usage
    assert found is not None
    assert (found.cache_write_1h, found.cache_write_other, found.in_uncached) == (hour, other, 50)


def test_a_retention_that_the_price_list_does_not_know_is_unpriced():
    def counted(**writes):
        details = {"cached_tokens": 0, "cache_write_tokens": 50, "cache_write_tokens_details": writes}
        return responses_usage({"input_tokens": 100, "output_tokens": 5, "input_tokens_details": details})

    assert not counted(ttl_30m_tokens=50, ttl_12h_tokens=0).unpriced
    assert counted(ttl_30m_tokens=0, ttl_12h_tokens=50).unpriced
