from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, ServiceTier, Usage
from providers.openai.usage import chat_usage, responses_usage, service_tier

COUNTS = st.none() | st.integers(0, 5000)
JUNK = COUNTS | st.booleans() | st.text(max_size=3) | st.floats() | st.integers() | st.just([]) | st.just({})


def test_parts_are_taken_out_of_what_they_are_part_of():
    usage = {
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
    assert chat_usage(usage) == Usage(
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


def test_what_is_absent_stays_unknown_and_zero_stays_zero():
    assert chat_usage({"prompt_tokens": 5}) == Usage(in_uncached=5)
    assert chat_usage(
        {"prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
    ) == Usage(in_uncached=5, cache_read=0, out_visible=0)


@pytest.mark.parametrize("usage", [None, {}, [], "x", 5, {"prompt_tokens": "5"}, {"prompt_tokens": None}])
def test_no_counts_is_no_usage(usage):
    assert chat_usage(usage) is None
    assert responses_usage(usage) is None


def test_reasoning_beside_the_completion_shows_in_the_total():
    usage = {"prompt_tokens": 390, "completion_tokens": 26, "total_tokens": 513}
    details = {"completion_tokens_details": {"reasoning_tokens": 97}}
    assert chat_usage(usage | details) == Usage(in_uncached=390, out_visible=26, out_reasoning=97)


def test_a_surplus_in_the_total_was_produced_even_if_nobody_says_what_it_was():
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    assert chat_usage(usage) == Usage(in_uncached=35, out_visible=12, out_reasoning=62)


def test_reasoning_beyond_the_completion_is_cut_to_what_the_total_says():
    usage = {
        "prompt_tokens": 57,
        "completion_tokens": 18,
        "total_tokens": 75,
        "completion_tokens_details": {"reasoning_tokens": 95},
    }
    assert chat_usage(usage) == Usage(in_uncached=57, out_visible=0, out_reasoning=18)


def test_more_cached_than_prompt_is_all_of_the_prompt():
    usage = {"prompt_tokens": 392, "prompt_tokens_details": {"cached_tokens": 461, "image_tokens": 4}}
    assert chat_usage(usage) == Usage(in_uncached=0, cache_read=392, image_in=0)


@pytest.mark.parametrize(
    "cached",
    [
        {"prompt_tokens_details": {"cached_tokens": 40}, "num_cached_tokens": 1},
        {"prompt_token_details": {"cached_tokens": 40}},
        {"prompt_cache_hit_tokens": 40, "prompt_cache_miss_tokens": 60},
        {"num_cached_tokens": 40},
        {"cached_tokens": 40, "prompt_tokens_details": None},
    ],
)
def test_other_names_of_the_cache(cached):
    assert chat_usage({"prompt_tokens": 100} | cached) == Usage(in_uncached=60, cache_read=40)


def test_searches_of_compatible_hosts():
    assert chat_usage({"prompt_tokens": 1, "server_tool_use_details": {"web_search_requests": 3}}).searches == 3
    assert chat_usage({"prompt_tokens": 1, "num_search_queries": 2}).searches == 2


def test_responses():
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 40},
        "total_tokens": 150,
    }
    tools = {"image_gen": {"input_tokens": 9}, "web_search": {"num_requests": 2}}
    assert responses_usage(usage, tool_usage=tools) == Usage(
        in_uncached=50, cache_read=30, cache_write_other=20, out_visible=10, out_reasoning=40, searches=2
    )
    assert responses_usage(None, tool_usage=tools) == Usage(searches=2)


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
    found = chat_usage(usage)
    if found is None:
        return
    for name in INPUT_COUNTS + OUTPUT_COUNTS:
        assert getattr(found, name) is None or getattr(found, name) >= 0
    prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if found.in_uncached is not None:
        assert found.input_tokens == prompt
    if found.out_visible is not None:
        stated = output if type(output) is int and 0 <= output <= 10**9 else 0
        total = usage.get("total_tokens")
        assert found.output_tokens == stated or found.output_tokens == total - prompt


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
