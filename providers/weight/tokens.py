"""Estimates the tokens of a `Weight` for the model that reads it.

Each family of models has its own vocabulary, its own frame around messages and its own way to present tools. The
numbers in `_FAMILIES` were fitted to recordings with known counts. Their accuracy is in docs/billing.md, and is printed
by ``python -m benchmarks estimates``.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec.structs import replace

from providers.dialect import Family, Operation
from providers.measures import Kind, TextWeight, Weight
from providers.media.rules import cost, plain_name


class Tokenizer(msgspec.Struct, frozen=True):
    """How a family of models counts text. Tokens of the frame are whole; the others are thousandths of a token.

    Attributes:
        plain: A token of ``o200k``, in ASCII.
        two: A character of two bytes.
        three: A character of three bytes.
        four: A character of four bytes.
        data: A token of ``o200k`` in JSON that the model reads.
        definition: A token of ``o200k`` in the definition of a tool.
        schema: A token of ``o200k`` in the schema of the answer.
        frame: What each mark of a definition or schema subtracts: providers rewrite JSON into a shorter form.
        thinks: Tokens of a request for reasoning.
        signed: A byte of a signature.
        start: Tokens of a request.
        turn: Tokens of a message.
        instructed: Tokens of instructions outside of the messages.
        call: Tokens of a tool's call or result.
        tools: Tokens of a request that defines tools.
        tool: Tokens of a tool.
        structured: Tokens of a request for a structured answer.
    """

    plain: int
    two: int
    three: int
    four: int
    data: int
    definition: int
    schema: int
    frame: int = 0
    signed: int = 0
    thinks: int = 0
    start: int = 0
    turn: int = 0
    instructed: int = 0
    call: int = 0
    tools: int = 0
    tool: int = 0
    structured: int = 0


OPENAI: Final = Tokenizer(
    plain=1_010, two=300, three=670, four=2_100, data=1_150, definition=950, schema=1_200, frame=430,
    start=3, turn=4, call=9, tools=12, structured=8,
)  # fmt: skip
_CHAT_5: Final = replace(OPENAI, data=1_400, call=4, tools=85)
_RESPONSES: Final = replace(OPENAI, plain=990, call=5, signed=100)
_CL100K: Final = replace(OPENAI, plain=1_000, three=1_050, two=470, four=3_200)
ANTHROPIC: Final = Tokenizer(
    plain=1_170, two=450, three=1_000, four=2_800, data=1_800, definition=1_300, schema=1_620, frame=50,
    start=8, turn=1, instructed=1, call=45, tools=440, structured=100, thinks=28,
)  # fmt: skip
_CLAUDE_NEW: Final = replace(ANTHROPIC, plain=1_400, thinks=2)
GEMINI: Final = Tokenizer(
    plain=1_070, two=350, three=650, four=2_000, data=2_200, definition=750, schema=0, start=1, call=1,
)  # fmt: skip
_GEMINI_2: Final = replace(GEMINI, data=700, definition=350, call=0)
_GEMINI_3: Final = replace(GEMINI, plain=1_020, data=1_900, signed=200)

_FAMILIES: Final = (
    (re.compile(r"gpt-(?:3|4(?![.o\d]))|davinci|babbage|text-"), _CL100K),
    (re.compile(r"gpt|o\d|chatgpt|codex|computer-use"), OPENAI),
    (re.compile(r"claude-(?:opus-(?:4-[7-9]|[5-9])|sonnet-[5-9]|haiku-[5-9]|fable|mythos)"), _CLAUDE_NEW),
    (re.compile(r"claude"), ANTHROPIC),
    (re.compile(r"gemini-(?:[3-9]|\d\d|flash-latest|pro-latest)"), _GEMINI_3),
    (re.compile(r"gemini-(?:1|2\.0)"), _GEMINI_2),
    (re.compile(r"gemini"), GEMINI),
)
_GPT_5: Final = re.compile(r"gpt-5(?![.\d])")
_OPENAI: Final = re.compile(r"gpt-(?:4[.o]|[5-9]|\d\d)|o\d|codex|computer-use")
_OF_RESPONSES: Final = frozenset((Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT, Operation.OPENAI_INPUT_TOKENS))
_OF_HOSTS: Final = {Family.OPENAI: OPENAI, Family.ANTHROPIC: ANTHROPIC, Family.GOOGLE: GEMINI}

# Of the bound: 1.5 times the expected tokens, which one recorded request in 500 exceeds, and one token for four unknown
# bytes.
_MARGIN, _MARGIN_TOKENS = 1_500, 16
_UNBROKEN: Final = 450
_REST_BYTES: Final = 4


def tokenizer_of(operation: Operation, model: str) -> Tokenizer:
    """The tokenizer of the model that a host calls ``model``, for a request in the dialect of ``operation``."""
    name = plain_name(model)
    if operation in _OF_RESPONSES and _OPENAI.match(name):
        return _RESPONSES
    if _GPT_5.match(name):
        return _CHAT_5
    for names, tokenizer in _FAMILIES:
        if names.match(name):
            return tokenizer
    return _OF_HOSTS[operation.family]


def text_tokens(weight: Weight, tokenizer: Tokenizer) -> int:
    """The expected tokens of a request without its media."""
    milli = (
        _milli(weight.text, tokenizer.plain, tokenizer)
        + _milli(weight.data, tokenizer.data, tokenizer)
        + _milli(weight.definitions, tokenizer.definition, tokenizer, tokenizer.frame)
        + _milli(weight.schema, tokenizer.schema, tokenizer, tokenizer.frame)
        + weight.signed * tokenizer.signed
    )
    return (milli + 500) // 1_000 + _frame(weight, tokenizer)


def most_text_tokens(weight: Weight, tokenizer: Tokenizer) -> int:
    """An upper bound of the tokens of a request without its media, which is rarely exceeded.

    Bytes that are not known to be text count as text: JSON, and members that a provider may still read.
    """
    known = text_tokens(weight, tokenizer) * _MARGIN // 1_000
    unbroken = (weight.text.unbroken + weight.data.unbroken) * _UNBROKEN // 1_000
    return known + unbroken + (weight.rest + weight.signed) // _REST_BYTES + _MARGIN_TOKENS


def media_tokens(weight: Weight, operation: Operation, model: str) -> tuple[int, int]:
    """Tokens of a request's media: expected, and at most."""
    expected = most = 0
    for medium in weight.media:
        one = cost(medium, operation.family, model, pictures=operation not in _OF_RESPONSES)
        expected += one.expected
        most += max(one.most, one.expected)
    return expected, most


def spoken_and_filmed(weight: Weight, family: Family, model: str) -> tuple[int, int]:
    """The expected tokens of audio and of video in a request's media, which may have a price of their own."""
    found = {Kind.AUDIO: 0, Kind.VIDEO: 0}
    for medium in weight.media:
        if medium.kind in found:
            found[medium.kind] += cost(medium, family, model).expected
    return found[Kind.AUDIO], found[Kind.VIDEO]


def _milli(text: TextWeight, plain: int, tokenizer: Tokenizer, frame: int = 0) -> int:
    return (
        max(0, text.plain * plain // 1_000 - text.marks * frame)
        + text.two * tokenizer.two
        + text.three * tokenizer.three
        + text.four * tokenizer.four
    )


def _frame(weight: Weight, tokenizer: Tokenizer) -> int:
    if not weight.turns:  # embeddings and legacy completions add nothing around the text
        return weight.tokens
    tokens = weight.tokens + tokenizer.start + tokenizer.turn * weight.turns + tokenizer.call * weight.calls
    if weight.thinks:
        tokens += tokenizer.thinks
    if weight.instructed:
        tokens += tokenizer.instructed
    if weight.tools:
        tokens += tokenizer.tools + tokenizer.tool * weight.tools
    if weight.schema.size:
        tokens += tokenizer.structured
    return tokens
