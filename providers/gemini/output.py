"""Output tokens in one chunk of a Gemini stream, for `providers.answers.produced`.

Most chunks state the count so far; this is for those before.
"""

from __future__ import annotations

import re
from typing import Final

from providers.answers.produced import milli_tokens, strings
from providers.weight.tokens import GEMINI

_TEXT: Final = b'"text":'
_THOUGHT: Final = re.compile(rb'"thought":\s{0,2}true')
_CALLED: Final = re.compile(rb'"functionCall":\s{0,2}\{(.*?)(?:"thoughtSignature"|"role"|"finishReason"|\Z)', re.DOTALL)
_JSON: Final = 900  # thousandths: brackets and quotes around a call are not all tokens


def chunk_output(event: bytes) -> int:
    """Of ``streamGenerateContent``. Thoughts are counted apart, and stated."""
    if b'"thought"' in event and _THOUGHT.search(event):
        return 0
    tokens = sum(milli_tokens(text, GEMINI) for text in strings(event, _TEXT) if text)
    if b'"functionCall"' not in event:
        return tokens
    return tokens + sum(milli_tokens(call, GEMINI) * _JSON // 1_000 for call in _CALLED.findall(event))
