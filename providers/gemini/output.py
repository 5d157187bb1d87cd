"""Output tokens in one chunk of a Gemini stream, for `providers.answers.produced`.

Most chunks state the count so far; this estimate is for the chunks before the first count.
"""

from __future__ import annotations

import re
from typing import Final

from providers.answers.produced import milli_tokens, strings
from providers.weight.tokens import GEMINI

_TEXT: Final = b'"text":'
_THOUGHT: Final = re.compile(rb'"thought":\s{0,2}true')
_CALLED: Final = re.compile(rb'"functionCall":\s{0,2}\{(.*?)(?:"thoughtSignature"|"role"|"finishReason"|\Z)', re.DOTALL)
_JSON: Final = 900  # thousandths: not all brackets and quotes of a call are tokens
_SUMMED_UP: Final = 3  # thoughts are shown as a summary with a third of their tokens (the median of recordings)


def thought_output(event: bytes) -> int:
    """Thousandths of a token of the thoughts that a chunk shows, for chunks before the first count of thoughts."""
    if b'"thought"' not in event or not _THOUGHT.search(event):
        return 0
    return _SUMMED_UP * sum(milli_tokens(text, GEMINI) for text in strings(event, _TEXT) if text)


def chunk_output(event: bytes) -> int:
    """Thousandths of an output token in a chunk of ``streamGenerateContent``, without thoughts (`thought_output`)."""
    if b'"thought"' in event and _THOUGHT.search(event):
        return 0
    tokens = sum(milli_tokens(text, GEMINI) for text in strings(event, _TEXT) if text)
    if b'"functionCall"' not in event:
        return tokens
    return tokens + sum(milli_tokens(call, GEMINI) * _JSON // 1_000 for call in _CALLED.findall(event))
