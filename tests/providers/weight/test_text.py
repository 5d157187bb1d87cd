"""Text is counted as tokenizers cut it; escapes are no text; long text is sampled."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.measures import NO_TEXT, Weight
from providers.weight.text import SAMPLE, count, count_bytes, count_json, plain_tokens
from providers.weight.tokens import GEMINI, OPENAI, most_text_tokens, text_tokens


def raw(text, **how):
    return msgspec.Raw(json.dumps(text, **how).encode())


@given(st.text(max_size=200))
def test_escapes_are_counted_as_what_they_stand_for(text):
    size = len(text.encode("utf-8", "surrogatepass"))
    escaped, plain = count([raw(text)]), count([raw(text, ensure_ascii=False)])
    assert escaped == plain
    assert plain.size == size


@pytest.mark.parametrize("ascii_only", [True, False])
def test_escapes_of_long_text_too(ascii_only):
    text = 'if a:\n\treturn "b\\\\c"\n' * 20_000
    assert count([raw(text, ensure_ascii=ascii_only)]).size == pytest.approx(len(text), rel=0.06)
    wide = "全部の文字。" * 20_000
    counted = count([raw(wide, ensure_ascii=ascii_only)])
    assert counted.size == pytest.approx(len(wide.encode()), rel=0.06)
    assert counted.three == pytest.approx(len(wide), rel=0.06)


@pytest.mark.parametrize(
    ("text", "tokens"),  # of o200k_base
    [
        ("What is the capital of France? Answer in one word.", 11),
        ("The gateway stands between an IDE and the providers; it forwards prompts and keeps nothing.", 19),
        ("def load(path: str) -> dict[str, int]:\n    with open(path) as file:\n        return json.load(file)\n", 28),
        ('{"name": "get_weather", "arguments": {"city": "Paris", "days": 5}}', 22),
        ("2026-01-17 12:44:03,118 INFO worker[4] request 9f8e took 318 ms", 29),
        ("a" * 8 + " " + "word " * 100, 102),
    ],
)
def test_ascii_is_near_the_vocabulary_s_count(text, tokens):
    assert count([raw(text)]).plain / 1_000 == pytest.approx(tokens, rel=0.2)


def test_a_sample_says_the_same_as_the_whole():
    text = "".join(f"Line {n}: the value of item_{n} is {n * 7919 % 1000}, as configured.\n" for n in range(20_000))
    whole, sampled = count_bytes(text.encode()), count([raw(text)])
    assert sampled.plain == pytest.approx(whole.plain, rel=0.12)
    assert sampled.size == pytest.approx(whole.size, rel=0.06)


def test_many_strings_are_sampled_across_their_ends():
    words = [raw(f"word number {n}") for n in range(5_000)]
    whole = sum(count([one]).plain for one in words)
    assert count(words).plain == pytest.approx(whole, rel=0.15)


def test_letters_without_a_break_are_told():
    assert count([raw("a" * 2_000)]).unbroken == 2_000 - 8
    assert count([raw("words of usual length " * 50)]).unbroken == 0


def test_nothing_is_nothing():
    assert count([]) == count_json([]) == NO_TEXT
    assert count([raw("")]).plain == 0


@given(st.lists(st.text(max_size=30), max_size=300), st.integers(0, 3))
def test_any_strings_are_counted_without_an_error(texts, times):
    strings = [raw(text, ensure_ascii=times % 2 == 0) for text in texts] * (1 + 10 * times)
    counted = count(strings)
    assert all(number >= 0 for number in msgspec.structs.astuple(counted))
    assert count_json(strings).size >= 0
    small = sum(map(len, strings)) <= SAMPLE
    assert not small or counted.size >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) * (
        1 + 10 * times
    )


@given(st.text(max_size=100), st.text(max_size=100))
def test_more_text_is_never_less(text, more):
    assert count_bytes((text + "\n" + more).encode()).size >= count_bytes(text.encode()).size


@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_the_cheaper_count_of_ascii_text_is_the_same(text):
    assert plain_tokens(text.encode()) == count_bytes(text.encode()).plain


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        (b"0" * 50_000, 16_667, 50_000),  # three digits are a token of OpenAI's, one of Google's
        (b"3.14159265358979" * 3_000, 15_000, 48_000),
        (b" " * 50_000, 600, 8_000),  # tokens of up to some eighty blanks; some vocabularies stop at sixteen
        (b"\n" * 50_000, 600, 8_000),
        (b"a b" + b" " * 300 + b"c", 4, 60),
    ],
)
def test_a_long_run_of_one_kind_is_many_tokens(text, least, most):
    weight = Weight(text=count_bytes(text))
    assert 0.8 * least <= text_tokens(weight, OPENAI) <= most
    assert most_text_tokens(weight, OPENAI) >= least
    assert most_text_tokens(weight, GEMINI) >= (0.9 * most if b"0" in text else least)
