"""What media cost, by the providers' own examples and by the recordings; and what is always true of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialect import Family
from providers.measures import Detail, Kind, Medium
from providers.media.rules import cost

OPENAI, ANTHROPIC, GOOGLE = Family.OPENAI, Family.ANTHROPIC, Family.GOOGLE


def image(width, height, detail=Detail.AUTO):
    return Medium(Kind.IMAGE, 1_000, width, height, detail=detail)


@pytest.mark.parametrize(
    ("family", "model", "medium", "tokens"),
    [
        (OPENAI, "gpt-4o", image(1024, 1024), 765),
        (OPENAI, "gpt-4o", image(2048, 4096), 1105),
        (OPENAI, "gpt-4o", image(4096, 8192, Detail.LOW), 85),
        (OPENAI, "openai/gpt-4o-2024-08-06", image(640, 480), 425),
        (OPENAI, "gpt-4o-mini", image(640, 480), 14_167),
        (OPENAI, "gpt-5", image(1, 1), 210),
        (OPENAI, "o1", image(1024, 1024), 675),
        (OPENAI, "gpt-4.1-mini", image(1024, 1024), 1659),
        (OPENAI, "gpt-4.1-mini", image(640, 480), 486),
        (OPENAI, "gpt-4.1-nano", image(540, 360), 502),
        (OPENAI, "o4-mini", image(640, 480), 516),
        (OPENAI, "gpt-5-mini", image(640, 480), 360),
        (OPENAI, "gpt-5-nano", image(128, 128), 24),
        (ANTHROPIC, "claude-sonnet-4-5", image(640, 480), 414),
        (ANTHROPIC, "claude-3-opus-20240229", image(1001, 1001), 1296),
        (ANTHROPIC, "claude-sonnet-4-6", image(5000, 5000), 1568),
        (ANTHROPIC, "claude-opus-4-7", image(5000, 5000), 4784),
        (OPENAI, "anthropic/claude-sonnet-4", image(640, 480), 414),
        (GOOGLE, "gemini-2.5-flash", image(300, 300), 258),
        (GOOGLE, "gemini-2.5-flash", image(1600, 1000), 258 * 6),
        (GOOGLE, "models/gemini-2.0-flash", image(640, 480), 1290),
        (GOOGLE, "gemini-3-flash-preview", image(640, 480), 1120),
        (GOOGLE, "gemini-3-flash-preview", image(640, 480, Detail.LOW), 280),
        (GOOGLE, "gemini-2.5-pro", Medium(Kind.PDF, 9_000, pages=9, most_pages=9), 258 * 9),
        (OPENAI, "gpt-5-nano", Medium(Kind.PDF, 9_000, pages=2, most_pages=2, characters=2_000), 2 * 215 + 532),
        (ANTHROPIC, "claude-sonnet-4-5", Medium(Kind.PDF, 9_000, pages=2, most_pages=2, characters=2_000), 3_920),
        (ANTHROPIC, "claude-sonnet-4-5", Medium(Kind.PDF, 9_000, pages=2, most_pages=2), 3_800),
        (GOOGLE, "gemini-2.5-pro", Medium(Kind.PDF, 9_000, pages=9, most_pages=9, characters=1), 258 * 9),
        (GOOGLE, "gemini-2.5-pro", Medium(Kind.AUDIO, 320_000, milliseconds=10_000), 320),
        (GOOGLE, "gemini-2.0-flash", Medium(Kind.VIDEO, 900_000, milliseconds=5_000), 5 * (263 + 32)),
        (OPENAI, "gpt-audio", Medium(Kind.AUDIO, 320_000, milliseconds=10_000), 110),
        (OPENAI, "gpt-4o", Medium(Kind.TEXT, 4_000), 1_000),
    ],
)
def test_the_published_rules(family, model, medium, tokens):
    assert cost(medium, family, model).expected == tokens


def test_responses_read_the_text_of_a_document_and_no_picture_of_it():
    medium = Medium(Kind.PDF, 9_000, pages=2, most_pages=2, characters=2_000)
    assert cost(medium, OPENAI, "gpt-5-nano", pictures=False) == (532, 8_000)


@pytest.mark.parametrize(
    ("family", "model", "cap"),
    [
        (OPENAI, "gpt-4o", 85 + 8 * 170),
        (OPENAI, "gpt-4.1-mini", 2_489),
        (OPENAI, "gpt-5.4", 12_000),
        (ANTHROPIC, "claude-sonnet-4-5", 1_568),
        (ANTHROPIC, "claude-opus-4-8", 4_784),
        (GOOGLE, "gemini-2.5-pro", 258 * 17),
        (GOOGLE, "gemini-3-pro", 1_120),
    ],
)
def test_an_image_of_which_nothing_is_believed_costs_at_most_its_provider_s_cap(family, model, cap):
    for size in (0, 10_000, 10_000_000):
        assert cost(Medium(Kind.IMAGE, size), family, model).most == cap


MODELS = st.sampled_from(
    ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5.6-sol", "o4-mini", "claude-sonnet-4-5", "claude-opus-5",
     "gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro", "mistral-large", "x/y/z")
)  # fmt: skip
MEDIA = st.builds(
    Medium,
    st.sampled_from(Kind),
    st.integers(0, 40_000_000),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.integers(0, 2_000),
    st.integers(0, 5_000),
    st.integers(0, 10**9),
    st.sampled_from(Detail),
    st.integers(1, 1_000),
)


@given(MEDIA, st.sampled_from(Family), MODELS)
def test_the_bound_is_never_below_what_is_expected(medium, family, model):
    expected, most = cost(medium, family, model)
    assert expected >= 0
    assert most >= expected


def test_many_are_as_many_times_one():
    one = cost(Medium(Kind.IMAGE), OPENAI, "gpt-4o")
    many = cost(Medium(Kind.IMAGE, number=7), OPENAI, "gpt-4o")
    assert many == (7 * one.expected, 7 * one.most)
