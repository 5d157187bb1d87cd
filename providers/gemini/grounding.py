"""What Gemini bills of its grounding: searches on the web, for images and on maps.

Rules (https://ai.google.dev/gemini-api/docs/pricing, grounding with Google Search and with Google Maps):

1. Up to Gemini 2 an answer that searched is billed once, and once more if it was grounded on maps. Since Gemini 3 each
   query is billed, those for images included.
2. ``groundingMetadata`` lists the queries of a search. Maps state none by themselves: a chunk of the kind ``maps``, or
   a widget's token, says that they were asked. If only maps were allowed, the queries are theirs. (A chunk of the kind
   ``web`` without a query is a page that the request named.)
3. The metadata stands on the last chunk of a candidate, and what an earlier one states is not added to it.
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
        self._queries = 0  # the most of one chunk
        self._now = 0  # of this chunk's candidates
        self._on_maps = False
        self._on_web = False

    def note(self, metadata: object) -> None:
        """One candidate's ``groundingMetadata``."""
        for name in _QUERIES:
            asked = member(metadata, name)
            self._now += sum(1 for query in asked if query) if isinstance(asked, list) else 0
        chunks = member(metadata, "groundingChunks")
        for chunk in chunks if isinstance(chunks, list) else ():
            self._on_maps = self._on_maps or _has(chunk, "maps")
            self._on_web = self._on_web or _has(chunk, "web")
        self._on_maps = self._on_maps or bool(member(metadata, "googleMapsWidgetContextToken"))

    def end_chunk(self) -> None:
        """All candidates of one chunk were noted."""
        self._queries, self._now = max(self._queries, self._now), 0

    def billed(self, model: str) -> tuple[int, int]:
        """Searches, and those of them that were on maps, as they are billed for a model (see rule 1)."""
        queries, maps = self._queries, int(self._on_maps)
        if self._maps_only:
            maps = max(queries, maps)
            return (min(maps, 1),) * 2 if model.startswith(_BY_PROMPT) else (maps, maps)
        if model.startswith(_BY_PROMPT):
            return int(queries > 0 and (self._on_web or not maps)) + maps, maps
        return max(queries, maps), maps


def _has(chunk: Any, name: str) -> bool:
    return isinstance(chunk, dict) and isinstance(chunk.get(name), dict)
