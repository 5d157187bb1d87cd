"""The calls of a streamed message whose provider did not come to state them.

``server_tool_use`` of the last ``message_delta`` is what is billed. A stream that ends before it has shown its calls:
a block ``web_search_tool_result`` for each search and ``web_fetch_tool_result`` for each fetch. A failed call holds an
object of the type ``..._error`` in the place of its results, and is not billed:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool (errors, usage and pricing).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from metering.usage import Usage
from providers.answers.counts import member
from providers.document.projection import Wanted

BLOCK: Final[Wanted] = {b"type": None, b"content": {b"type": None}}
_COUNTS: Final = {"web_search_tool_result": "searches", "web_fetch_tool_result": "fetches"}
_MOST_BLOCKS: Final = 10_000


class MessageCalls:
    """The calls of one message, by its blocks."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}  # by the block's index: an event may be read more than once

    def note(self, index: object, block: object) -> bool:
        """A block that began; results of tools come whole with their beginning. True if it is a billed call."""
        kind = _COUNTS.get(str(member(block, "type")))
        failed = str(member(member(block, "content"), "type")).endswith("_error")
        if kind is None or failed or type(index) is not int or len(self._kinds) >= _MOST_BLOCKS:
            return False
        self._kinds[index] = kind
        return True

    def add_to(self, usage: Usage | None) -> Usage | None:
        """``usage`` with the calls that its provider had not stated yet."""
        if not self._kinds:
            return usage
        usage = usage or Usage()
        kinds = list(self._kinds.values())
        return replace(
            usage,
            searches=max(usage.searches or 0, kinds.count("searches")) or usage.searches,
            fetches=max(usage.fetches or 0, kinds.count("fetches")) or usage.fetches,
        )
