from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, ServiceTier, Usage
from providers.answers.counts import count
from providers.gemini.usage import add_usage, counted_tokens, gemini_usage, service_tier


def details(**tokens: int) -> list[dict]:
    return [{"modality": name, "tokenCount": count} for name, count in tokens.items()]


def counts(usage: object, **more: bool) -> Usage | None:
    """The counts of a usage object that leaves no doubt."""
    counted = gemini_usage(usage, **more)
    assert not counted.suspect
    assert not counted.unpriced
    return counted.usage


def test_what_is_inside_and_what_stands_beside():
    usage = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 300,
        "candidatesTokenCount": 200,
        "thoughtsTokenCount": 90,
        "toolUsePromptTokenCount": 70,
        "totalTokenCount": 1360,
    }
    assert counts(usage) == Usage(in_uncached=700, cache_read=300, tool_in=70, out_visible=200, out_reasoning=90)


def test_audio_and_images_have_buckets_of_their_own():
    usage = {
        "promptTokenCount": 1000,
        "promptTokensDetails": details(TEXT=100, AUDIO=300, IMAGE=200, VIDEO=250, DOCUMENT=150),
        "candidatesTokenCount": 1307,
        "candidatesTokensDetails": details(IMAGE=1290),
    }
    assert counts(usage) == Usage(
        in_uncached=500, video_in=250, audio_in=300, image_in=200, out_visible=17, image_out=1290
    )


def test_cached_tokens_come_out_of_their_own_modality():
    usage = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 500,
        "promptTokensDetails": details(TEXT=400, AUDIO=600),
        "cacheTokensDetails": details(TEXT=100, AUDIO=400),
    }
    assert counts(usage) == Usage(in_uncached=300, cache_read=500, cache_read_audio=400, audio_in=200)


def test_cached_tokens_of_a_modality_that_the_prompt_does_not_state_come_out_of_text():
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "promptTokensDetails": details(DOCUMENT=100),
        "cacheTokensDetails": details(IMAGE=60),
    }
    assert counts(usage) == Usage(in_uncached=40, cache_read=60)


def test_cached_tokens_without_details_come_out_of_text_then_images_then_audio():
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 85,
        "promptTokensDetails": details(TEXT=10, IMAGE=20, AUDIO=70),
    }
    assert counts(usage) == Usage(in_uncached=0, cache_read=85, cache_read_audio=55, image_in=0, audio_in=15)


def test_video_is_the_part_of_the_prompt_that_was_not_cached():
    usage = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 500,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": 3, "tokenCount": 700}],
        "cacheTokensDetails": details(TEXT=100, VIDEO=400),
    }
    assert counts(usage) == Usage(in_uncached=500, cache_read=500, video_in=300)
    assert counts(usage | {"cachedContentTokenCount": 900, "cacheTokensDetails": []}).video_in == 100


def test_enumerations_as_numbers():
    usage = {
        "promptTokenCount": 521,
        "trafficType": 2,
        "promptTokensDetails": [{"modality": 2, "tokenCount": 516}, {"modality": 1, "tokenCount": 5}],
        "candidatesTokenCount": 5,
        "candidatesTokensDetails": [{"modality": 4, "tokenCount": 5}],
    }
    assert counts(usage) == Usage(in_uncached=5, image_in=516, audio_out=5, out_visible=0)
    assert service_tier(usage) is ServiceTier.PROVISIONED


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"promptTokenCount": 100, "totalTokenCount": 150}, Usage(in_uncached=100, out_visible=50)),
        ({"candidatesTokenCount": 50, "totalTokenCount": 150}, Usage(in_uncached=100, out_visible=50)),
        ({"candidatesTokenCount": 50}, Usage(out_visible=50)),
        ({"promptTokenCount": 100}, Usage(in_uncached=100)),
        ({"totalTokenCount": 100}, None),
        (
            {"promptTokenCount": 417, "thoughtsTokenCount": 71, "totalTokenCount": 488},
            Usage(in_uncached=417, out_visible=0, out_reasoning=71),
        ),
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 40},
            Usage(in_uncached=10, out_visible=5, out_reasoning=25),
        ),
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 5, "totalTokenCount": 40},
            Usage(in_uncached=10, out_visible=5, out_reasoning=5, tool_in=20),
        ),
        ({"promptTokenCount": "12.0", "candidatesTokenCount": 4.2}, Usage(in_uncached=12, out_visible=5)),
    ],
)
def test_each_side_alone_and_what_the_total_says_of_the_others(usage, expected):
    assert counts(usage) == expected


def test_a_total_without_a_surplus_says_nothing_before_the_end():
    usage = {"promptTokenCount": 3, "totalTokenCount": 3}
    assert counts(usage) == Usage(in_uncached=3, out_visible=0)
    assert counts(usage, ended=False) == Usage(in_uncached=3)
    assert counts(usage | {"totalTokenCount": 5}, ended=False) == Usage(in_uncached=3, out_visible=2)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"promptTokenCount": -1, "candidatesTokenCount": 4, "totalTokenCount": 9}, Usage(out_visible=4)),
        ({"promptTokenCount": 10**12, "candidatesTokenCount": 4}, Usage(out_visible=4)),
        (
            {"promptTokenCount": 17, "candidatesTokenCount": 492, "totalTokenCount": 61},
            Usage(in_uncached=17, out_visible=492),
        ),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 9, "candidatesTokenCount": 4}, Usage(out_visible=4)),
        (
            {"promptTokenCount": 5, "cachedContentTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 9},
            Usage(in_uncached=0, cache_read=5, out_visible=4),
        ),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 4, "candidatesTokensDetails": details(IMAGE=1290)},
            Usage(in_uncached=5),
        ),
    ],
)
def test_a_count_that_contradicts_the_others_is_not_trusted(usage, expected):
    assert gemini_usage(usage) == (expected, True, False)


@pytest.mark.parametrize(
    "more",
    [
        {"trafficType": "MADE_UP"},
        {"serviceTier": "made up"},
        {"candidatesTokensDetails": details(VIDEO=1)},
        {"promptTokensDetails": details(SMELL=1)},
        {"promptTokensDetails": [{"modality": [], "tokenCount": 1}]},
        {"toolUsePromptTokensDetails": details(AUDIO=1)},
        {"promptTokenDetails": details(IMAGE=3)},
        {"liveTokenCount": 1},
    ],
)
def test_what_is_stated_and_not_known_is_unpriced(more):
    assert gemini_usage({"promptTokenCount": 5, "candidatesTokenCount": 4} | more).unpriced


def test_a_reported_zero_stands_at_the_end_and_is_suspect():
    zero = {"promptTokenCount": 0, "candidatesTokenCount": 4, "totalTokenCount": 4}
    counted = gemini_usage(zero)
    assert (counted.usage.in_uncached, counted.usage.out_visible, counted.suspect) == (0, 4, True)
    assert counts(zero, ended=False) == Usage(out_visible=4)
    assert counts(zero | {"totalTokenCount": 9}) == Usage(in_uncached=5, out_visible=4)  # the total says more
    assert counts({"candidatesTokenCount": 4}) == Usage(out_visible=4)  # not stated


def test_zeros_after_the_truth_take_nothing_back():
    stated: dict = {}
    for usage in (
        {"promptTokenCount": 10, "totalTokenCount": 10},
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
        {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0},
        {"thoughtsTokenCount": 3},
        None,
    ):
        add_usage(stated, usage)
    assert counts(stated) == Usage(in_uncached=10, out_visible=5, out_reasoning=3)


@pytest.mark.parametrize("usage", [None, [], {}, {"trafficType": "ON_DEMAND"}, {"promptTokenCount": "three"}])
def test_no_counts_is_no_usage(usage):
    assert counts(usage) is None


JUNK = st.none() | st.integers() | st.integers(0, 3000) | st.booleans() | st.text(max_size=2) | st.floats()
DETAILS = JUNK | st.lists(
    JUNK | st.fixed_dictionaries({}, optional={"modality": st.sampled_from(["AUDIO", "IMAGE", "TEXT", 2, 4, [], None]), "tokenCount": JUNK})
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "promptTokenCount": JUNK,
            "cachedContentTokenCount": JUNK,
            "candidatesTokenCount": JUNK,
            "thoughtsTokenCount": JUNK,
            "promptTokensDetails": DETAILS,
            "cacheTokensDetails": DETAILS,
            "candidatesTokensDetails": DETAILS,
        },
    )
)
def test_buckets_add_up_to_the_counts_whatever_is_stated(usage):
    found = gemini_usage(usage).usage
    if found is None:
        return
    for name in INPUT_COUNTS + OUTPUT_COUNTS:
        assert getattr(found, name) is None or getattr(found, name) >= 0
    if found.in_uncached is not None:
        assert found.input_tokens == count(usage["promptTokenCount"])
    if found.out_visible is not None:
        assert found.output_tokens - (found.out_reasoning or 0) == count(usage["candidatesTokenCount"])


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"serviceTier": "standard"}, ServiceTier.STANDARD),
        ({"serviceTier": "PRIORITY"}, ServiceTier.PRIORITY),
        ({"trafficType": "ON_DEMAND"}, ServiceTier.STANDARD),
        ({"trafficType": "ON_DEMAND_FLEX"}, ServiceTier.FLEX),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, ServiceTier.PROVISIONED),
        ({"trafficType": 1}, ServiceTier.STANDARD),
        ({"trafficType": 77}, ServiceTier.OTHER),
        ({"trafficType": "MADE_UP"}, ServiceTier.OTHER),
        ({"trafficType": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_tiers_are_a_closed_list(usage, tier):
    assert service_tier(usage) is tier


def test_a_token_count():
    assert counted_tokens({"totalTokens": 12, "cachedContentTokenCount": 5}) == Usage(in_uncached=7, cache_read=5)
    assert counted_tokens({"totalTokens": "12"}) == Usage(in_uncached=12)
    assert counted_tokens({"totalTokens": -1}) is None
    assert counted_tokens([]) is None
