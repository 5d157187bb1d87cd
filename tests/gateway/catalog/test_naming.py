"""What a model's name says of it."""

import pytest

from gateway.catalog.naming import asks_before_caching, most_output, text_only
from providers.dialect import Family

OPENAI, ANTHROPIC, GOOGLE = Family.OPENAI, Family.ANTHROPIC, Family.GOOGLE


@pytest.mark.parametrize(
    ("family", "names", "tokens"),
    [
        (OPENAI, "gpt-5 gpt-5-2025-08-07 gpt-5-mini gpt-5.1-codex-mini gpt-5.4-pro gpt-6-sol gpt-6.1-terra", 128_000),
        (OPENAI, "gpt-5-pro gpt-5-pro-2025-10-06", 272_000),
        (OPENAI, "gpt-5-chat-latest gpt-5.3-chat-latest gpt-4o gpt-4o-mini-2024-07-18 chatgpt-4o-latest", 16_384),
        (OPENAI, "gpt-4.1 gpt-4.1-nano", 32_768),
        (OPENAI, "o1 o1-2024-12-17 o1-pro o3-mini o4-mini-deep-research codex-mini-latest", 100_000),
        (OPENAI, "gpt-4o-2024-05-13 gpt-4-turbo gpt-3.5-turbo-0125 gpt-3.5-turbo-instruct", 4_096),
        (OPENAI, "gpt-4", 8_192),
        (GOOGLE, "gemini-2.5-pro gemini-2.5-flash-lite gemini-3.1-pro-preview gemini-3.8-flash", 65_536),
        (GOOGLE, "gemini-2.5-flash-image", 32_768),
        (GOOGLE, "gemini-2.0-flash-001", 8_192),
        # What nobody here knows: a limit that is guessed would be rejected, or be none.
        (OPENAI, "gpt-5-image gpt-5-search-api gpt-50 gpt-7 gpt-4-vision-preview llama-4 o5", None),
        (GOOGLE, "gemini-2.5-flash-tts gemini-3-pro-image-preview gemini-4-argon gemini-embedding-2", None),
        (ANTHROPIC, "claude-opus-5 gpt-5", None),
    ],
)
def test_the_longest_answer_of_a_makers_own_model(family, names, tokens):
    assert {most_output(family, name) for name in names.split()} == {tokens}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("gemini-2.5-pro gemini-3.8-flash gpt-5 m", True),
        ("gemini-2.5-flash-image gemini-nano-banana-2.1 gemini-3.8-flash-tts gemini-omni-1.1-flash gpt-audio", False),
    ],
)
def test_whether_a_model_answers_with_more_than_text(names, text):
    assert {text_only(GOOGLE, name) for name in names.split()} == {text}
    assert text_only(ANTHROPIC, "claude")


@pytest.mark.parametrize(
    ("family", "names", "asks"),
    [
        (OPENAI, "gpt-5.6 gpt-5.6-luna gpt-5.10 gpt-6 gpt-6.1-terra gpt-10 gpt-5.6-2026-07-09", True),
        (
            OPENAI,
            "gpt-5.5 gpt-5 gpt-5.1-codex gpt-4o gpt-4.1 gpt-3.5-turbo o3 codex-mini-latest gpt-audio m my-gpt-6",
            False,
        ),
        (ANTHROPIC, "claude-opus-5 claude-haiku-5.5", True),
        (GOOGLE, "gemini-3.8-flash", False),
    ],
)
def test_which_models_cache_only_what_is_asked_for(family, names, asks):
    assert {asks_before_caching(family, name) for name in names.split()} == {asks}
