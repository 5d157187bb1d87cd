"""Images, sound and files as OpenAI's APIs write them: data URLs, and formats by their short names."""

from __future__ import annotations

import re
from typing import Final

from providers.conversation.conversation import File, Image

_DATA: Final = re.compile(r"data:([a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+)(?:;[a-z0-9=-]+)*;base64,(.*)", re.DOTALL)
_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}


def data_url(url: str) -> tuple[str, str] | None:
    """The media type and the base64 of a data URL, or None."""
    found = _DATA.fullmatch(url)
    return None if found is None else (found[1], found[2])


def image_at(url: str, detail: str = "") -> Image:
    """The image that a data URL holds, or that is at an address."""
    held = data_url(url)
    detail = "" if detail == "auto" else detail
    return Image("", "", url, detail) if held is None else Image(*held, detail=detail)


def url_of(image: Image | File) -> str:
    """The address, or the data as a data URL."""
    return image.url or f"data:{image.media_type};base64,{image.data}"


def audio_type(form: str) -> str:
    """The media type of a sound of this format."""
    return _AUDIO.get(form, f"audio/{form}")


def audio_format(media_type: str) -> str | None:
    """The format of a sound, or None if the API does not take it."""
    return _FORMATS.get(media_type)
