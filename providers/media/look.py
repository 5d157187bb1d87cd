"""Makes a `Medium` of each image, document, recording or video in a request."""

from __future__ import annotations

from typing import Final

import msgspec

from providers.document.addresses import is_remote
from providers.document.members import decode_text
from providers.measures import Detail, Kind, Medium
from providers.media import images, pdf, recordings
from providers.media.payload import Payload

MOST_MEDIA: Final = 256
"""Media of a request that are examined; for further ones, only their number and size are counted."""

_TEXTS: Final = ("text/", "application/json", "application/xml", "application/javascript", "application/x-")
_DETAILS: Final = {
    "low": Detail.LOW,
    "medium": Detail.MEDIUM,
    "high": Detail.HIGH,
    "ultra_high": Detail.ORIGINAL,
    "original": Detail.ORIGINAL,
}
_SHORT: Final = 200
_PDF_BUDGET: Final = 4 << 20  # bytes of a request's documents that are examined


class Gallery:
    """Collects a request's media.

    Attributes:
        text: Bytes of the body that are media and not text.
    """

    __slots__ = ("_budget", "_media", "_more", "text")

    def __init__(self) -> None:
        self.text = 0
        self._media: list[Medium] = []
        self._more: dict[Kind, Medium] = {}
        self._budget = _PDF_BUDGET

    def add(
        self,
        raw: msgspec.Raw,
        mime: msgspec.Raw | str = "",
        *,
        kind: Kind | None = None,
        detail: msgspec.Raw | None = None,
    ) -> None:
        """Add a medium: its base64 data, a ``data:`` URL, or the address from which the provider fetches it.

        Args:
            raw: The JSON string; any other value is a medium about which nothing is known.
            mime: The type that the request states, or empty.
            kind: The kind that its place in the request implies, if the data do not show it.
            detail: The resolution that the request states.
        """
        self.text += len(raw)
        if len(self._media) < MOST_MEDIA:
            self._media.append(self._medium(raw, _word(mime), kind, _detail(detail)))
        else:
            self._another(kind or _kind(_word(mime)) or Kind.OTHER, len(raw) * 3 // 4)

    def remote(self, kind: Kind, detail: msgspec.Raw | None = None) -> None:
        """Add a medium that the provider already has or fetches."""
        if len(self._media) < MOST_MEDIA:
            self._media.append(Medium(kind, detail=_detail(detail)))
        else:
            self._another(kind, 0)

    def _another(self, kind: Kind, size: int) -> None:
        before = self._more.get(kind)
        number, most = (before.number, before.size) if before is not None else (0, 0)
        self._more[kind] = Medium(kind, max(size, most), number=number + 1)

    def _medium(self, raw: msgspec.Raw, mime: str, kind: Kind | None, detail: Detail) -> Medium:
        if bytes(memoryview(raw)[:1]) != b'"':
            return Medium(kind or Kind.OTHER, detail=detail)
        if is_remote(raw):
            return Medium(kind or _kind(mime) or Kind.OTHER, detail=detail)
        payload = Payload(raw)
        kind = _kind(payload.mime) or _kind(mime) or _sniffed(payload) or kind or Kind.OTHER
        size = payload.size
        match kind:
            case Kind.IMAGE:
                width, height = images.dimensions(payload) or (0, 0)
                return Medium(kind, size, width, height, detail=detail)
            case Kind.PDF:
                found = pdf.read(payload, self._budget)
                self._budget -= found.looked
                return Medium(
                    kind,
                    size,
                    pages=found.pages,
                    most_pages=found.most_pages,
                    characters=found.characters,
                    detail=detail,
                )
            case Kind.AUDIO:
                return Medium(kind, size, milliseconds=recordings.audio_milliseconds(payload))
            case Kind.VIDEO:
                return Medium(kind, size, milliseconds=recordings.video_milliseconds(payload), detail=detail)
            case _:
                return Medium(kind, size)

    def done(self) -> tuple[Medium, ...]:
        return (*self._media, *self._more.values()) if self._more else tuple(self._media)


def _kind(mime: str) -> Kind | None:
    for kind in (Kind.IMAGE, Kind.AUDIO, Kind.VIDEO):
        if mime.startswith(kind.value + "/"):
            return kind
    if mime == "application/pdf":
        return Kind.PDF
    return Kind.TEXT if mime.startswith(_TEXTS) else None


def _sniffed(payload: Payload) -> Kind | None:
    head = payload.read(0, 16)
    if head.startswith(b"%PDF-"):
        return Kind.PDF
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")) or head[8:12] == b"WEBP":
        return Kind.IMAGE
    if head.startswith((b"ID3", b"\xff\xfb", b"OggS", b"fLaC")) or head[8:12] == b"WAVE":
        return Kind.AUDIO
    return Kind.VIDEO if head[4:8] == b"ftyp" else None


def _word(given: msgspec.Raw | str) -> str:
    if isinstance(given, str):
        return given
    return (decode_text(given) or "").lower() if 0 < len(given) <= _SHORT else ""


def _detail(given: msgspec.Raw | None) -> Detail:
    if given is None:
        return Detail.AUTO
    return _DETAILS.get(_word(given).removeprefix("media_resolution_"), Detail.AUTO)
