"""Counts the items of a response that are billed tool calls.

Rules (https://developers.openai.com/api/docs/guides/tools-web-search, output and pricing):

1. Of a web search item only the action ``search`` is billed. Opening a page and searching for text in it
   are other actions of this item, and cost only their tokens. An item without an action is a search. An unknown action
   may cost something else.
2. A search that failed, or that had not ended when the response ended, is not billed. A container is
   billed once it runs, whether or not the code succeeds.
3. ``tool_usage.web_search.num_requests`` is the number of billed searches; if it is stated, items are not counted.
4. The tools ``web_search`` and ``web_search_preview`` write the same items. If the request allowed the second, the
   searches count as previews, which never cost less.
5. An item is counted once, by its index in the response, however often its events are read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from metering.usage import Usage
from providers.answers.reading import read_strictly
from providers.document.projection import Wanted

ITEM: Final[Wanted] = {b"type": None, b"status": None, b"action": {b"type": None}}
_FREE_ACTIONS: Final = frozenset({"open_page", "find_in_page"})
_MOST_ITEMS: Final = 10_000


class _Action(msgspec.Struct):
    type: str = "search"


class _Item(msgspec.Struct):
    type: str = ""
    status: str | None = None
    action: _Action | None = None


_item = msgspec.json.Decoder(_Item)
_items = msgspec.json.Decoder(list[msgspec.Raw])


class ResponseCalls:
    """The billed calls of one response."""

    __slots__ = ("_kinds", "_preview", "_shell", "unpriced")

    def __init__(self, server_tools: frozenset[str]) -> None:
        self._preview = "openai_web_search_preview" in server_tools
        self._shell = "openai_shell" in server_tools
        self._kinds: dict[int, str] = {}  # by the item's index
        self.unpriced = False  # something may cost an amount that is not stated

    def take(self, output: msgspec.Raw) -> None:
        """Take all items of a response: ``output`` of a body or of a terminal event."""
        items = read_strictly(_items, output)
        for place, item in enumerate(items or ()):
            self.note(place, item)

    def note(self, place: object, item: msgspec.Raw) -> None:
        """Note one item that has ended."""
        found = read_strictly(_item, item)
        if found is None or type(place) is not int or len(self._kinds) >= _MOST_ITEMS:
            return
        kind = self._billed_as(found)
        if kind:
            self._kinds[place] = kind

    def add_to(self, usage: Usage) -> None:
        """Add the calls to ``usage``, whose ``searches`` are the web searches that the provider stated."""
        kinds = list(self._kinds.values())
        web = kinds.count("web") if usage.searches is None else usage.searches
        files, runs = kinds.count("file"), kinds.count("run")
        if web or files:
            usage.searches = web + files
            usage.preview_searches = web if self._preview else None
            usage.file_searches = files or None
        if runs:
            usage.code_runs = runs

    def _billed_as(self, item: _Item) -> str:
        if item.type == "code_interpreter_call" or (self._shell and item.type == "shell_call"):
            return "run"
        if item.status not in (None, "completed"):
            return ""
        if item.type == "file_search_call":
            return "file"
        if item.type != "web_search_call":
            return ""
        action = "search" if item.action is None else item.action.type
        self.unpriced = self.unpriced or action not in {"search", *_FREE_ACTIONS}
        return "" if action in _FREE_ACTIONS else "web"
