"""The numbers that tokens are estimated from.

They are read once, with the head; `gateway.inference.estimate` makes tokens of them for the model that answers. No
content is kept: every field is a count.
"""

from __future__ import annotations

import msgspec

from providers.media.medium import Medium


class TextWeight(msgspec.Struct, frozen=True):
    """How much text there is, and of what kind.

    Attributes:
        size: UTF-8 bytes, JSON escapes counted as the character that they stand for.
        plain: Thousandths of a token that the ASCII in it has in OpenAI's ``o200k`` encoding, by estimate.
        two: Characters of two bytes (accented Latin, Greek, Cyrillic, Hebrew, Arabic).
        three: Characters of three bytes (Chinese, Japanese, Korean, Indic, typographic marks).
        four: Characters of four bytes (emoji, rare scripts).
        marks: Of the ASCII, the characters that are neither letters, digits nor blanks.
        unbroken: Letters beyond what words have: runs of letters that no language writes. Digits beyond what numbers
            have, likewise.
    """

    size: int = 0
    plain: int = 0
    two: int = 0
    three: int = 0
    four: int = 0
    marks: int = 0
    unbroken: int = 0


NO_TEXT = TextWeight()


class Weight(msgspec.Struct, frozen=True):
    """How much a request gives a model to read.

    Attributes:
        text: Messages, instructions and results of tools.
        data: JSON that the model reads as such: arguments of calls, results that are objects.
        definitions: Tools, as the request defines them.
        schema: The schema of a structured answer.
        turns: Messages, or what stands for one.
        instructed: There are instructions beside the messages.
        calls: Calls of tools, and their results.
        tools: Tools that are defined.
        signed: Bytes of signatures and encrypted reasoning of the turn that is under way; what belongs to earlier
            turns is dropped by the providers.
        thinks: Reasoning is asked for, or not switched off where models reason by themselves.
        tokens: Input that is given as tokens, and what has a fixed number of them.
        rest: Bytes of the body that are none of the above: its JSON, settings, and members that nobody here knows.
        media: Images, documents, audio and video, in order.
    """

    text: TextWeight = NO_TEXT
    data: TextWeight = NO_TEXT
    definitions: TextWeight = NO_TEXT
    schema: TextWeight = NO_TEXT
    turns: int = 0
    instructed: bool = False
    calls: int = 0
    tools: int = 0
    signed: int = 0
    thinks: bool = False
    tokens: int = 0
    rest: int = 0
    media: tuple[Medium, ...] = ()
