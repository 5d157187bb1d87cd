"""What is measured in a request when its head is read: how much text there is, and the size of each medium.

Tokens are estimated from these numbers: `gateway.inference.estimate` does it for the model that answers. They are
counts and kinds; no content is kept.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """How a provider reads a medium."""

    IMAGE = "image"
    PDF = "pdf"
    AUDIO = "audio"
    VIDEO = "video"
    TEXT = "text"  # read as text: text/plain, code, CSV
    OTHER = "other"


class Detail(StrEnum):
    """The resolution at which a model sees an image: OpenAI's ``detail`` and Google's ``mediaResolution``."""

    AUTO = "auto"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    ORIGINAL = "original"


class Medium(msgspec.Struct, frozen=True):
    """One medium. A number that could not be read is 0.

    Attributes:
        kind: What it is.
        size: Bytes, decoded; 0 if the provider fetches the medium itself.
        width: Pixels, from a plausible header.
        height: Pixels, from the same header.
        pages: Pages of a document, by its own count.
        most_pages: The most pages that a document of its size can have, if pages may be hidden; else ``pages``.
        milliseconds: Length of audio or video, from a plausible header.
        detail: The resolution at which an image is seen.
        number: How many media this one stands for: more than 1 if several were not examined one by one.
        characters: Characters of text on a document's pages; 0 if that is not known, or if its pages are pictures.
    """

    kind: Kind
    size: int = 0
    width: int = 0
    height: int = 0
    pages: int = 0
    most_pages: int = 0
    milliseconds: int = 0
    detail: Detail = Detail.AUTO
    number: int = 1
    characters: int = 0


class TextWeight(msgspec.Struct, frozen=True):
    """The amount of text, by kinds of characters.

    Attributes:
        size: UTF-8 bytes; a JSON escape counts as the character that it stands for.
        plain: An estimate of the tokens of its ASCII part in OpenAI's ``o200k`` encoding, in thousandths.
        two: Characters of two bytes (accented Latin, Greek, Cyrillic, Hebrew, Arabic).
        three: Characters of three bytes (Chinese, Japanese, Korean, Indic, typographic marks).
        four: Characters of four bytes (emoji, rare scripts).
        marks: ASCII characters that are neither letters, digits nor blanks.
        unbroken: Letters and digits in runs that are longer than the words and numbers of any language.
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
    """The amount of input that a request gives a model to read.

    Attributes:
        text: Messages, instructions and results of tools.
        data: JSON that the model reads as JSON: arguments of calls, results that are objects.
        definitions: The request's definitions of tools.
        schema: The schema of a structured answer.
        turns: The number of messages, or of items that count as one.
        instructed: There are instructions in addition to the messages.
        calls: The number of tool calls and their results.
        tools: The number of defined tools.
        signed: Bytes of signatures and encrypted reasoning of the current turn; providers drop those of earlier
            turns.
        thinks: Reasoning is asked for, or is not switched off for models that reason by default.
        tokens: Input that is given as tokens, and parts with a fixed number of tokens.
        rest: Bytes of the body that are none of the above: its JSON syntax, settings, and unknown members.
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
