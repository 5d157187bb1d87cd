"""What is known of one image, document, recording or film in a request: numbers, and a kind."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a provider does with a medium."""

    IMAGE = "image"
    PDF = "pdf"
    AUDIO = "audio"
    VIDEO = "video"
    TEXT = "text"  # read as text: text/plain, code, CSV
    OTHER = "other"


class Detail(StrEnum):
    """How closely an image is looked at, as OpenAI's ``detail`` and Google's ``mediaResolution`` say."""

    AUTO = "auto"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    ORIGINAL = "original"


class Medium(msgspec.Struct, frozen=True):
    """One medium. What could not be read is 0.

    Attributes:
        kind: What it is.
        size: Bytes, decoded; 0 for what the provider fetches itself.
        width: Pixels, by a header that can be believed.
        height: Pixels, likewise.
        pages: Of a document, by its own count.
        most_pages: That a document of its size can have, where pages may be hidden; else ``pages``.
        milliseconds: Of audio and video, by a header that can be believed.
        detail: How closely an image is looked at.
        number: How many like it there are: above 1 for those that were not looked at one by one.
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
