"""Output tokens in one event of a streamed message, for `providers.answers.produced`.

Fitted to recorded streams with known counts.
"""

from __future__ import annotations

import re
from typing import Final

from providers.answers.produced import milli_tokens, strings
from providers.weight.tokens import ANTHROPIC

_CALLED: Final = re.compile(rb'"type":\s{0,2}"tool_use"')
_BLOCK: Final = 2_000
_CALL: Final = 34_000  # the tags and names around a call
_FACTORS: Final = ((b'"text":', 1_030), (b'"partial_json":', 1_120), (b'"thinking":', 1_200))


def message_output(event: bytes) -> int:
    """Thousandths of an output token in one event of the Messages API."""
    for name, factor in _FACTORS:
        tokens = sum([milli_tokens(text, ANTHROPIC) for text in strings(event, name) if text])
        if tokens:
            return tokens * factor // 1_000
    if b'"content_block_start"' not in event:
        return 0
    return _CALL if _CALLED.search(event) else _BLOCK
