"""Counts the billed searches of Gemini's grounding: on the web, for images and on maps.

Rules (https://ai.google.dev/gemini-api/docs/pricing, grounding with Google Search and with Google Maps):

1. Up to Gemini 2, an answer that searched is billed once, and once more if it was grounded on maps. Since Gemini 3 each
   query is billed, including those for images.
2. ``groundingMetadata`` lists the queries of a search. Maps have no list of queries: a chunk of the kind ``maps``, or
   a widget's token, shows that maps were used. If only maps were allowed, the queries are queries of maps. (A chunk of
   the kind ``web`` without a query is a page that the request named.)
3. The metadata is on the last chunk of a candidate; earlier statements are not added to it.
"""

from __future__ import annotations

from typing import Any, Final

from providers.answers.counts import member
from providers.document.projection import Wanted

WANTED: Final[Wanted] = {
    b"webSearchQueries": None,
    b"imageSearchQueries": None,
    b"groundingChunks": {b"maps": {b"placeId": None}, b"web": {}},
    b"googleMapsWidgetContextToken": None,
}
_BY_PROMPT: Final = ("gemini-1", "gemini-2")
_QUERIES: Final = ("webSearchQueries", "imageSearchQueries")


class Grounding:
    """The searches of one answer."""

    __slots__ = ("_maps_only", "_now", "_on_maps", "_on_web", "_queries")

    def __init__(self, server_tools: frozenset[str]) -> None:
        self._maps_only = "gemini_google_maps" in server_tools and "gemini_google_search" not in server_tools
        self._queries = 0  # the highest number in one chunk
        self._now = 0  # in this chunk's candidates
        self._on_maps = False
        self._on_web = False

    def note(self, metadata: object) -> None:
        """Note one candidate's ``groundingMetadata``."""
        for name in _QUERIES:
            asked = member(metadata, name)
            self._now += sum(1 for query in asked if query) if isinstance(asked, list) else 0
        chunks = member(metadata, "groundingChunks")
        for chunk in chunks if isinstance(chunks, list) else ():
            self._on_maps = self._on_maps or _has(chunk, "maps")
            self._on_web = self._on_web or _has(chunk, "web")
        self._on_maps = self._on_maps or bool(member(metadata, "googleMapsWidgetContextToken"))

    def end_chunk(self) -> None:
        """Call after all candidates of a chunk were noted."""
        self._queries, self._now = max(self._queries, self._now), 0

    def billed(self, model: str) -> tuple[int, int]:
        """The billed searches for a model, and how many of them were on maps (see rule 1)."""
        queries, maps = self._queries, int(self._on_maps)
        if self._maps_only:
            maps = max(queries, maps)
            return (min(maps, 1),) * 2 if model.startswith(_BY_PROMPT) else (maps, maps)
        if model.startswith(_BY_PROMPT):
            return int(queries > 0 and (self._on_web or not maps)) + maps, maps
        return max(queries, maps), maps


def _has(chunk: Any, name: str) -> bool:
    return isinstance(chunk, dict) and isinstance(chunk.get(name), dict)
