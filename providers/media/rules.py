"""How many tokens a medium has, by its provider's published rule.

Every rule gives two numbers: the expected tokens and the highest number. If the dimensions of an image are not known
or not plausible, the provider's own cap is the highest number.

Sources: https://developers.openai.com/api/docs/guides/images-vision, https://platform.claude.com/docs/en/build-with-claude/vision
and .../pdf-support, https://ai.google.dev/gemini-api/docs/tokens and .../media-resolution. If the recordings differ
from the page (gpt-5-mini: 1.2, not 1.62), the recordings are used.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from providers.dialect import Family
from providers.measures import Detail, Kind, Medium

_UNKNOWN_WIDTH, _UNKNOWN_HEIGHT = 512, 512  # of an unknown image, which a provider fetches
_SECOND: Final = 1_000

# Bytes a second, if a header does not state the length of a recording: usual, and least.
_AUDIO_SPEED, _AUDIO_SLOWEST = 16_000, 2_000
_VIDEO_SPEED, _VIDEO_SLOWEST = 250_000, 10_000
_REMOTE_AUDIO_SECONDS, _REMOTE_VIDEO_SECONDS = 60, 60  # for a recording that the provider fetches
_MOST_SECONDS: Final = 9 * 3_600  # Gemini accepts at most 9.5 hours in a prompt
_REMOTE_PAGES, _MOST_REMOTE_PAGES = 3, 100
_MOST_PAGES: Final = 1_000
_TEXT_BYTES, _LEAST_TEXT_BYTES = 4, 2  # of a text file, for one token
_OTHER_BYTES: Final = 8  # for one token of other files (word processing, spreadsheets): zipped XML and pictures
_OTHER: Final = 2_000
"""Tokens of a medium about which nothing is known, not even its size."""


class Cost(NamedTuple):
    """Tokens of one medium: expected, and at most."""

    expected: int
    most: int


class _Rule(NamedTuple):
    """How a family of models counts media other than images, in tokens.

    Attributes:
        page: A page of a document, expected.
        most_page: A page of a document, at most: the text of a full page and the page as an image.
        audio: A second of audio.
        frame: A second of video, without its sound.
        picture: A page as an image, beside its text, if the text is known; 0: the text does not count.
        character: A character of such a text, in thousandths.
    """

    page: int
    most_page: int
    audio: int
    frame: int
    picture: int = 0
    character: int = 0


_OPENAI: Final = _Rule(220, 3_000, 11, 300, 215, 266)
_OPENAI_5: Final = _Rule(800, 4_000, 11, 300, 215, 266)
_ANTHROPIC: Final = _Rule(1_900, 4_600, 32, 300, 1_580, 380)
_ANTHROPIC_CLOSE: Final = _Rule(1_900, 7_800, 32, 300, 1_580, 380)
_GEMINI_2: Final = _Rule(258, 1_400, 32, 263)
_GEMINI_3: Final = _Rule(560, 2_300, 25, 70)

_MOST_AUDIO: Final = 32  # a second, at any provider

# A path, or at Amazon Bedrock the maker after the name of an inference profile (`providers.hosts.bedrock`).
_VENDOR: Final = re.compile(r"(?:models/|[a-z0-9_.-]+/)*(?:(?:[a-z-]{1,8}\.)?anthropic\.)?")
_TILES: Final = (
    # Models, tokens of the whole image, tokens of each tile.
    (re.compile(r"gpt-4o-mini"), 2_833, 5_667),
    (re.compile(r"o[13](?!-mini)"), 75, 150),
    (re.compile(r"computer-use"), 65, 129),
    (re.compile(r"gpt-5(?:\.1)?(?!\.\d|-mini|-nano)"), 70, 140),
    (re.compile(r"gpt-4|chatgpt"), 85, 170),
)
_PATCHES: Final = (
    # Models, thousandths of a token for each patch, most patches usually, most patches in original detail.
    (re.compile(r"gpt-4\.1-mini"), 1_620, 1_536, 1_536),
    (re.compile(r"gpt-4\.1-nano"), 2_460, 1_536, 1_536),
    (re.compile(r"gpt-5(?:\.\d)?-mini"), 1_200, 1_536, 1_536),
    (re.compile(r"gpt-5(?:\.\d)?-nano"), 1_500, 1_536, 1_536),
    (re.compile(r"o\d-mini"), 1_720, 1_536, 1_536),
    (re.compile(r"gpt-5\.[23]"), 1_200, 1_536, 1_536),
    (re.compile(r"gpt-(?:5\.|[6-9]|\d\d)"), 1_200, 2_500, 10_000),
)
_GPT_5: Final = re.compile(r"gpt-(?:[5-9]|\d\d)(?!\d)")
_CLAUDE_CLOSE: Final = re.compile(r"claude-(?:opus-(?:4-[7-9]|[5-9])|sonnet-[5-9]|haiku-[5-9]|fable|mythos)")
_GEMINI_THREE: Final = re.compile(r"gemini-(?:[3-9]|\d\d|flash-latest|pro-latest)")
_GEMINI_LEVELS: Final = {
    Detail.LOW: 280,
    Detail.MEDIUM: 560,
    Detail.AUTO: 1_120,
    Detail.HIGH: 1_120,
    Detail.ORIGINAL: 2_240,
}


def plain_name(model: str) -> str:
    """A provider's name of a model without a vendor's prefix."""
    return _VENDOR.sub("", model, count=1)


def cost(medium: Medium, family: Family, model: str, *, pictures: bool = True) -> Cost:
    """The tokens of a medium, or of all the media that it stands for (`Medium.number`).

    Args:
        medium: What is known about it.
        family: The wire format of the host that serves the model.
        model: The host's name of the model.
        pictures: Each page of a document with text is also read as an image. In the recordings, OpenAI's Responses read
            only the text, although the documentation says otherwise; Chat Completions read both.
    """
    name = plain_name(model)
    one = _cost(medium, family, name, pictures=pictures)
    return one if medium.number == 1 else Cost(one.expected * medium.number, one.most * medium.number)


def _cost(medium: Medium, family: Family, name: str, *, pictures: bool) -> Cost:
    match medium.kind:
        case Kind.IMAGE:
            return _image(medium, family, name)
        case Kind.TEXT:
            return Cost(-(-medium.size // _TEXT_BYTES), -(-medium.size // _LEAST_TEXT_BYTES))
        case Kind.OTHER:
            most = max(_OTHER, medium.size // _LEAST_TEXT_BYTES)
            return Cost(min(medium.size // _OTHER_BYTES or _OTHER, most), most)
    rule = _rule(family, name)
    if medium.kind is Kind.PDF:
        pages = min(medium.pages or _REMOTE_PAGES, _MOST_PAGES)
        most = min(max(pages, medium.most_pages or _MOST_REMOTE_PAGES), _MOST_PAGES)
        page = pages * rule.page
        if medium.characters and rule.picture:
            page = medium.characters * rule.character // 1_000 + pages * rule.picture * pictures
        return Cost(min(page, most * rule.most_page), most * rule.most_page)
    if medium.kind is Kind.AUDIO:
        usual, longest = _duration(medium, _AUDIO_SPEED, _AUDIO_SLOWEST, _REMOTE_AUDIO_SECONDS)
        return Cost(-(-usual * rule.audio // _SECOND), -(-longest * _MOST_AUDIO // _SECOND))
    usual, longest = _duration(medium, _VIDEO_SPEED, _VIDEO_SLOWEST, _REMOTE_VIDEO_SECONDS)
    return Cost(-(-usual * (rule.frame + rule.audio) // _SECOND), -(-longest * (rule.frame + _MOST_AUDIO) // _SECOND))


def _duration(medium: Medium, speed: int, slowest: int, remote: int) -> tuple[int, int]:
    """Milliseconds, expected and at most."""
    longest = min(medium.size * _SECOND // slowest, _MOST_SECONDS * _SECOND)
    if medium.milliseconds:
        # If a header states a longer recording than the slowest encoding allows, it is not used.
        known = min(medium.milliseconds, longest)
        return known, known
    if not medium.size:
        return remote * _SECOND, 10 * remote * _SECOND
    return min(medium.size * _SECOND // speed, longest), longest


def _rule(family: Family, name: str) -> _Rule:
    if name.startswith("gemini") or (family is Family.GOOGLE and not name.startswith("claude")):
        return _GEMINI_3 if _GEMINI_THREE.match(name) else _GEMINI_2
    if name.startswith("claude") or family is Family.ANTHROPIC:
        return _ANTHROPIC_CLOSE if _CLAUDE_CLOSE.match(name) else _ANTHROPIC
    return _OPENAI_5 if _GPT_5.match(name) else _OPENAI


def _image(medium: Medium, family: Family, name: str) -> Cost:
    known = bool(medium.width and medium.height)
    if known:
        width, height = medium.width, medium.height
    elif medium.size:  # one byte for each pixel, and the aspect ratio of a screen
        height = max(1, int((medium.size * 9 / 16) ** 0.5))
        width = height * 16 // 9 + 1
    else:
        width, height = _UNKNOWN_WIDTH, _UNKNOWN_HEIGHT
    detail = medium.detail
    if name.startswith("gemini") or (family is Family.GOOGLE and not name.startswith("claude")):
        return _gemini_image(width, height, detail, name, known=known)
    if name.startswith("claude") or family is Family.ANTHROPIC:
        edge, most = (2_576, 4_784) if _CLAUDE_CLOSE.match(name) else (1_568, 1_568)
        tokens = _patches(*_within(width, height, edge), 28, most)
        return Cost(tokens, tokens if known else most)
    for models, milli, usual, original in _PATCHES:
        if models.match(name):
            cap = original if detail in {Detail.ORIGINAL, Detail.AUTO} else usual
            patches = _patches(width, height, 32, original if detail is Detail.ORIGINAL else usual)
            most = _patches(width, height, 32, cap) if known else cap
            return Cost(-(-patches * milli // 1_000), -(-most * milli // 1_000))
    base, tile = next(((base, tile) for models, base, tile in _TILES if models.match(name)), (85, 170))
    if detail is Detail.LOW:
        return Cost(base, base + tile)
    tokens = base + tile * _tiles(width, height)
    return Cost(tokens, tokens if known else base + 8 * tile)


def _gemini_image(width: int, height: int, detail: Detail, name: str, *, known: bool) -> Cost:
    if _GEMINI_THREE.match(name):
        tokens = _GEMINI_LEVELS[detail]
        return Cost(tokens, tokens)
    width, height = _within(width, height, 3_072)
    if name.startswith("gemini-2.0"):
        unit = min(768, max(256, int(min(width, height) / 1.5)))
        tiles = 1 if max(width, height) <= 384 else 1 + -(-width // unit) * -(-height // unit)
    else:
        tiles = -(-width // 768) * -(-height // 768)
    return Cost(258 * tiles, 258 * (1 + tiles if known else 17))


def _within(width: int, height: int, edge: int) -> tuple[int, int]:
    longest = max(width, height)
    return (width, height) if longest <= edge else (max(1, width * edge // longest), max(1, height * edge // longest))


def _patches(width: int, height: int, side: int, most: int) -> int:
    return min(most, -(-width // side) * -(-height // side))


def _tiles(width: int, height: int) -> int:
    """Scaled to fit 2,048 x 2,048 pixels, then to 768 on the shorter side, and cut into squares of 512."""
    width, height = _within(width, height, 2_048)
    shortest = min(width, height)
    if shortest > 768:
        width, height = width * 768 // shortest, height * 768 // shortest
    return -(-width // 512) * -(-height // 512)
