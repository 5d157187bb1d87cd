"""Output tokens in one event of OpenAI's streams, for `providers.answers.produced`.

OpenAI's own hosts send one token in each event, compatible hosts several; a tool call has some tokens in addition to
its arguments. Fitted to recorded streams with known counts.
"""

from __future__ import annotations

import re
from typing import Final

from providers.answers.produced import milli_tokens, strings
from providers.weight.tokens import OPENAI

_CONTENT: Final = b'"content":'
_TEXTS: Final = (b'"arguments":', b'"text":', b'"reasoning_content":', b'"reasoning":', b'"refusal":')
_CALLED: Final = re.compile(rb'"name":\s{0,2}"[^"]')
_DELTA: Final = b'"delta":'
# Not the deltas of a reasoning summary, which is not billed as output, and not those of audio.
_OF_TEXT: Final = re.compile(
    rb'"response\.(?:output_text|refusal|reasoning_text|[a-z_]+_call_(?:arguments|input|code))\.delta"'
)
_ITEM_CALLED: Final = re.compile(rb'"type":\s{0,2}"(?:function_call|custom_tool_call)"')
_ADDED: Final = b'"response.output_item.added"'
_PADDED: Final = b'"obfuscation"'  # set by OpenAI's own hosts, on events of one token
_ONE: Final = 1_000
_SHORT: Final = 5  # bytes of a text that counts as one token
_SEVERAL: Final = 1_700  # from this estimate on, an event is taken to have several tokens
_CALL: Final = 8_700
_ITEM: Final = 1_500  # for the frame of a message or call


def chat_output(event: bytes) -> int:
    """Thousandths of an output token in one chunk of chat or of legacy completions."""
    if tokens := _tokens(event, strings(event, _CONTENT)):
        return tokens
    tokens = _tokens(event, strings(event, *_TEXTS))
    if b'"tool_calls"' in event and _CALLED.search(event):
        tokens += _CALL
    return tokens


def responses_output(event: bytes) -> int:
    """Thousandths of an output token in one event of the Responses API."""
    if _OF_TEXT.search(event):
        return _tokens(event, strings(event, _DELTA))
    if _ADDED not in event:
        return 0
    return _ITEM + _CALL if _ITEM_CALLED.search(event) else _ITEM


def _tokens(event: bytes, texts: list[bytes]) -> int:
    return sum([_text(text, event) for text in texts if text])


def _text(text: bytes, event: bytes) -> int:
    if len(text) <= _SHORT or _PADDED in event:
        return _ONE
    tokens = milli_tokens(text, OPENAI)
    return _ONE if tokens < _SEVERAL else tokens
