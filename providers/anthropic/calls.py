"""Counts the tool calls of a streamed message that was cut before it stated them, and the input from their results.

Billed calls are in ``server_tool_use`` of the last ``message_delta``. A stream that is cut before it has a block
``web_search_tool_result`` for each search and ``web_fetch_tool_result`` for each fetch. A failed call has an
object of the type ``..._error`` instead of results, and is not billed:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool (errors, usage and pricing).

``message_start`` states only the input of the first sampling. After each result, or several results that come
together, the model reads everything again, with all results so far, which is input too. If the prompt is cached, the
earlier part is read from the cache, and the new part is written to it. The tokens of a result are estimated from its
size, fitted to recorded streams (docs/billing.md).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from metering.usage import Usage
from providers.answers.counts import member
from providers.document.projection import Wanted

BLOCK: Final[Wanted] = {b"type": None, b"content": {b"type": None}}
_COUNTS: Final = {"web_search_tool_result": "searches", "web_fetch_tool_result": "fetches"}
_RESULT: Final = "_tool_result"
_NO_READING: Final = "tool_search_tool_result"  # the sampling continues
_MOST_BLOCKS: Final = 10_000

# Thousandths of a token.
_ENCRYPTED: Final = 255  # for a byte of a search result's ``encrypted_content``
_FOUND: Final = 150_000  # for a search result's title and address
_TEXT: Final = 270  # for a byte of any other result
_PAGES: Final = 20  # for a byte of a document in base64


class MessageCalls:
    """The calls of one message, by its blocks."""

    __slots__ = ("_kinds", "_results")

    def __init__(self) -> None:
        # By the block's index: an event may be read more than once.
        self._kinds: dict[int, str] = {}
        self._results: dict[int, int] = {}  # tokens

    def note(self, index: object, block: object, size: int) -> bool:
        """Note a block that started; the start of a tool's result has the whole result.

        Args:
            index: Its index in the message.
            block: The part of it that was kept.
            size: Bytes of its event.

        Returns:
            Whether it is a billed call.
        """
        name = str(member(block, "type"))
        if name.endswith(_RESULT) and name != _NO_READING and type(index) is int and len(self._results) < _MOST_BLOCKS:
            self._results[index] = _tokens(block, size)
        kind = _COUNTS.get(str(member(block, "type")))
        failed = str(member(member(block, "content"), "type")).endswith("_error")
        if kind is None or failed or type(index) is not int or len(self._kinds) >= _MOST_BLOCKS:
            return False
        self._kinds[index] = kind
        return True

    def input_stated(self) -> None:
        """Note that the provider stated the input, including all results so far."""
        self._results.clear()

    def add_to(self, usage: Usage | None) -> Usage | None:
        """``usage`` plus the calls that its provider had not stated yet, and the input from their results."""
        if not self._kinds and not self._results:
            return usage
        usage = self._read(usage or Usage())
        kinds = list(self._kinds.values())
        return replace(
            usage,
            searches=max(usage.searches or 0, kinds.count("searches")) or usage.searches,
            fetches=max(usage.fetches or 0, kinds.count("fetches")) or usage.fetches,
        )

    def _read(self, usage: Usage) -> Usage:
        """``usage`` plus the input of the samplings after the first, if its input is stated."""
        prompt, again, results = usage.input_tokens, 0, 0
        if usage.in_uncached is None:
            return usage
        for index, tokens in sorted(self._results.items()):
            if index - 1 not in self._results:
                again += prompt + results
            results += tokens
        if not (usage.cache_read or usage.cache_write_5m or usage.cache_write_1h):
            return replace(usage, in_uncached=usage.in_uncached + again + results)
        written = "cache_write_1h" if usage.cache_write_1h else "cache_write_5m"
        more = {written: (getattr(usage, written) or 0) + results}
        return replace(usage, cache_read=(usage.cache_read or 0) + again, **more)


def _tokens(block: object, size: int) -> int:
    """Tokens in a tool's result."""
    content = member(block, "content")
    if isinstance(content, list) and member(block, "type") == "web_search_tool_result":
        encrypted = sum(len(text) for found in content if isinstance(text := member(found, "encrypted_content"), str))
        return (encrypted * _ENCRYPTED + len(content) * _FOUND) // 1_000
    document = member(member(content, "content"), "source")
    rate = _PAGES if member(document, "type") == "base64" else _TEXT
    return size * rate // 1_000
