from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.usage import Geography, ServiceTier, Speed, Usage
from providers.anthropic.usage import add_usage, geography, read_usage, service_tier, speed


def counts(*usages: object) -> Usage | None:
    stated: dict[str, Any] = {}
    for usage in usages:
        add_usage(stated, usage)
    counted = read_usage(stated).counted
    assert not counted.suspect
    return counted.usage


def entry(kind: str, tokens_in: int, tokens_out: int, model: str | None = None, **more: Any) -> dict[str, Any]:
    found = {"type": kind, "input_tokens": tokens_in, "output_tokens": tokens_out, **more}
    return found if model is None else found | {"model": model}


def split(top_in: int, top_out: int, *iterations: dict[str, Any]) -> tuple:
    stated: dict[str, Any] = {}
    add_usage(stated, {"input_tokens": top_in, "output_tokens": top_out, "iterations": list(iterations)})
    return split_of(stated)


def split_of(stated: dict[str, Any]) -> tuple:
    counted, others, _ = read_usage(stated)
    return counted.usage, others


def test_everything_beside_everything():
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "output_tokens": 100,
        "output_tokens_details": {"thinking_tokens": 60},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1, "code_execution_requests": 3},
    }
    assert counts(usage) == Usage(
        in_uncached=10,
        cache_read=20,
        cache_write_5m=20,
        cache_write_1h=30,
        out_visible=40,
        out_reasoning=60,
        searches=2,
        fetches=1,
        code_runs=3,
    )


def test_writes_without_a_split_have_the_default_lifetime():
    assert counts({"cache_creation_input_tokens": 50}) == Usage(cache_write_5m=50)


@pytest.mark.parametrize(
    ("total", "short", "long", "expected"),
    [(50, 20, 10, (40, 10)), (50, 20, 30, (20, 30)), (0, 5, 5, (5, 5)), (None, 5, 6, (5, 6)), (50, None, 10, (40, 10))],
)
def test_the_total_of_writes_is_right_and_the_split_explains_it(total, short, long, expected):
    split = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    found = counts({"cache_creation_input_tokens": total, "cache_creation": split})
    assert (found.cache_write_5m, found.cache_write_1h) == expected


def test_later_statements_replace_and_absent_ones_do_not():
    start = {"input_tokens": 100, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    assert counts(start, {"output_tokens": 40}) == Usage(in_uncached=100, cache_read=5, out_visible=40)
    assert counts(start, {"input_tokens": 300, "output_tokens": 40}).in_uncached == 300
    assert counts(start, {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}) == Usage(
        in_uncached=100, cache_read=5, out_visible=9
    )
    assert counts(start, {"input_tokens": None, "output_tokens": "nine"}) == Usage(
        in_uncached=100, cache_read=5, out_visible=1
    )


def test_a_reported_zero_stands_at_the_end_and_is_suspect():
    zero = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 4}
    counted = read_usage(zero).counted
    assert (counted.usage, counted.suspect) == (Usage(in_uncached=0, cache_read=0, out_visible=4), True)
    counted = read_usage(zero, ended=False).counted
    assert (counted.usage, counted.suspect) == (Usage(out_visible=4), False)
    assert counts(zero | {"cache_read_input_tokens": 7}) == Usage(in_uncached=0, cache_read=7, out_visible=4)
    assert counts({"output_tokens": 4}) == Usage(out_visible=4)  # not stated


def test_an_input_that_differs_restates_its_side_with_its_zeros():
    cached = {"input_tokens": 100, "cache_read_input_tokens": 5000, "cache_creation_input_tokens": 70}
    cached["cache_creation"] = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 70}
    zeros = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    assert counts(cached, {"input_tokens": 181} | zeros) == Usage(in_uncached=181, cache_read=0, cache_write_5m=0)
    same = Usage(in_uncached=100, cache_read=5000, cache_write_5m=0, cache_write_1h=70)
    assert counts(cached, {"input_tokens": 100} | zeros) == same
    assert counts(cached, {"input_tokens": 0} | zeros) == same
    assert counts(cached, {"input_tokens": 181, "cache_creation_input_tokens": 70}).cache_write_1h == 70


def test_the_output_of_message_start_is_a_placeholder():
    stated: dict[str, Any] = {}
    start = {"input_tokens": 5, "output_tokens": 8, "output_tokens_details": {"thinking_tokens": 1}}
    add_usage(stated, start, placeholder=True)
    assert split_of(stated) == (Usage(in_uncached=5), ())
    add_usage(stated, {"output_tokens": 0})
    assert split_of(stated) == (Usage(in_uncached=5, out_visible=0), ())


def test_fractions_are_rounded_up_and_strings_are_read():
    usage = {"input_tokens": 12345.4, "cache_read_input_tokens": "20000", "output_tokens": 200.0}
    assert counts(usage) == Usage(in_uncached=12346, cache_read=20000, out_visible=200)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": -1, "output_tokens": 3}, Usage(out_visible=3)),
        ({"input_tokens": 5, "output_tokens": 10**12}, Usage(in_uncached=5)),
        (
            {"input_tokens": 5, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 4}},
            Usage(in_uncached=5),
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "cache_creation_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
            },
            Usage(out_visible=3),
        ),
    ],
)
def test_a_count_that_contradicts_the_others_is_not_trusted(usage, expected):
    counted = read_usage(usage).counted
    assert counted == (expected, True, False)


@pytest.mark.parametrize(
    "more",
    [
        {"service_tier": "made up"},
        {"speed": "ludicrous"},
        {"inference_geo": "<somewhere>"},
        {"server_tool_use": {"browser_requests": 1}},
        {"cache_creation": {"ephemeral_1d_input_tokens": 4}},
        {"video_tokens": 4},
        {"iterations": [{"type": "tomorrow"}]},
        {"iterations": [{"type": ["message"]}]},
        {"iterations": [{"type": "message", "image_tokens": 3}]},
    ],
)
def test_what_is_stated_and_not_known_is_unpriced(more):
    assert read_usage({"input_tokens": 5, "output_tokens": 3} | more)[0].unpriced


@pytest.mark.parametrize(
    "more",
    [
        {"service_tier": "", "speed": None, "inference_geo": "not_available"},
        {"server_tool_use": {"browser_requests": 0}, "video_tokens": 0},
        {"cost": 3, "is_byok": True, "total_tokens": 8},
        {"fallback_credit": {"status": {"type": "redeemed"}}},
        {"iterations": [{"type": "message", "model": "m", "image_tokens": 0}]},
    ],
)
def test_what_is_zero_or_no_count_is_not_unpriced(more):
    assert not read_usage({"input_tokens": 5, "output_tokens": 3} | more)[0].unpriced


def test_nothing_is_added_up():
    assert counts(*[{"output_tokens": n} for n in (10, 20, 30)]) == Usage(out_visible=30)


def test_turns_of_a_tool_loop_are_in_the_top_level():
    assert split(2414, 3200, entry("message", 1051, 35), entry("message", 1363, 3165)) == (
        Usage(in_uncached=2414, out_visible=3200),
        (),
    )


def test_an_advisor_ran_on_its_own_model():
    usage, others = split(
        2414,
        3200,
        entry("message", 1051, 35),
        entry("advisor_message", 2728, 874, "claude-advisor"),
        entry("message", 1363, 3165),
    )
    assert usage == Usage(in_uncached=2414, out_visible=3200)
    assert others == (("claude-advisor", Usage(in_uncached=2728, out_visible=874)),)


def test_a_compaction_ran_on_the_same_model_and_is_added():
    writes = {
        "cache_creation_input_tokens": 55096,
        "cache_creation": {"ephemeral_5m_input_tokens": 55096, "ephemeral_1h_input_tokens": 0},
    }
    usage, others = split(229, 5, entry("compaction", 100, 131, **writes), entry("message", 229, 5))
    assert usage == Usage(in_uncached=329, cache_write_5m=55096, cache_write_1h=0, out_visible=136)
    assert others == ()


def test_a_fallback_model_is_charged_for_what_it_answered():
    usage, others = split(412, 264, entry("message", 408, 0, "model-a"), entry("fallback_message", 412, 264, "model-b"))
    assert usage == Usage(in_uncached=0, out_visible=0)
    assert others == (("model-b", Usage(in_uncached=412, out_visible=264)),)


def test_a_decline_after_output_is_charged_to_the_model_that_declined():
    usage, others = split(412, 264, entry("message", 408, 9, "model-a"), entry("fallback_message", 412, 264, "model-b"))
    assert usage == Usage(in_uncached=0, out_visible=0)
    assert others == (
        ("model-b", Usage(in_uncached=412, out_visible=264)),
        ("model-a", Usage(in_uncached=408, out_visible=9)),
    )


def test_a_decline_that_the_top_level_includes_is_not_charged_twice():
    _, others = split(820, 273, entry("message", 408, 9, "model-a"), entry("fallback_message", 412, 264, "model-b"))
    assert others == (
        ("model-a", Usage(in_uncached=408, out_visible=9)),
        ("model-b", Usage(in_uncached=412, out_visible=264)),
    )


def test_a_compaction_before_a_fallback_belongs_to_the_model_that_served():
    _, others = split(10, 5, entry("compaction", 100, 7), entry("fallback_message", 10, 5, "model-b"))
    assert others == (
        ("model-b", Usage(in_uncached=10, out_visible=5)),
        ("model-b", Usage(in_uncached=100, out_visible=7)),
    )


def test_calls_of_server_tools_stay_with_the_request():
    stated: dict[str, Any] = {}
    add_usage(
        stated,
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "server_tool_use": {"web_search_requests": 2},
            "iterations": [entry("fallback_message", 10, 5, "model-b")],
        },
    )
    usage, others = split_of(stated)
    assert usage == Usage(in_uncached=0, out_visible=0, searches=2)
    assert others == (("model-b", Usage(in_uncached=10, out_visible=5)),)


@pytest.mark.parametrize(
    ("more", "contexts"),
    [
        (
            {"input_tokens": 30, "output_tokens": 9},
            (Usage(in_uncached=10, out_visible=4), Usage(in_uncached=20, out_visible=5)),
        ),
        (
            {"input_tokens": 30, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 6}},
            (
                Usage(in_uncached=10, out_visible=0, out_reasoning=4),
                Usage(in_uncached=20, out_visible=3, out_reasoning=2),
            ),
        ),
        ({"input_tokens": 31, "output_tokens": 9}, ()),  # they don't add up
    ],
)
def test_each_model_request_has_its_own_context(more, contexts):
    stated = {**more, "iterations": [entry("message", 10, 4), entry("message", 20, 5)]}
    spent = read_usage(stated)
    assert spent.contexts == contexts
    assert spent.others == ()


def test_a_compaction_is_a_context_of_its_own():
    stated = {
        "input_tokens": 30,
        "output_tokens": 9,
        "iterations": [entry("compaction", 100, 7), entry("message", 10, 4), entry("message", 20, 5)],
    }
    spent = read_usage(stated)
    assert spent.counted.usage == Usage(in_uncached=130, out_visible=16)
    assert [part.in_uncached for part in spent.contexts] == [10, 20, 100]


def test_a_kind_of_tomorrow_is_added_only_if_the_top_level_leaves_it_out():
    message, other = entry("message", 10, 5), entry("tomorrow", 7, 3)
    assert split(10, 5, message, other)[0] == Usage(in_uncached=17, out_visible=8)
    assert split(17, 8, message, other)[0] == Usage(in_uncached=17, out_visible=8)


@pytest.mark.parametrize(
    "iterations", [None, "x", [None, 5, "x"], [{}], [{"type": "compaction"}], [{"type": 3}], [{"type": []}]]
)
def test_iterations_of_another_shape_change_nothing(iterations):
    stated: dict[str, Any] = {}
    add_usage(stated, {"input_tokens": 10, "output_tokens": 5, "iterations": iterations})
    assert split_of(stated) == (Usage(in_uncached=10, out_visible=5), ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "input_tokens",
                    "output_tokens",
                    "cache_creation",
                    "iterations",
                    "type",
                    "model",
                    "ephemeral_5m_input_tokens",
                    "cache_creation_input_tokens",
                    "output_tokens_details",
                    "thinking_tokens",
                    "server_tool_use",
                    "service_tier",
                ]
            ),
            inner,
        )
    ),
    max_leaves=15,
)


@given(JSON, JSON)
def test_no_shape_raises(first, second):
    stated: dict[str, Any] = {}
    add_usage(stated, first)
    add_usage(stated, second)
    usage, others = split_of(stated)
    for found in (usage, *(part for _, part in others)):
        assert found is None or min(found.input_tokens, found.output_tokens) >= 0


def test_what_makes_the_same_model_cost_differently():
    assert service_tier("priority") is ServiceTier.PRIORITY
    assert service_tier("made up") is ServiceTier.OTHER
    assert service_tier(None) is None
    assert speed("fast") is Speed.FAST
    assert speed("standard") is Speed.NORMAL
    assert speed(1) is None
    assert geography("us") is Geography.US
    assert geography("not_available") is Geography.GLOBAL
    assert geography("<somewhere>") is Geography.OTHER
    assert geography(None) is None
