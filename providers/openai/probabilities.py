"""Probabilities of tokens, as both of OpenAI's APIs write them.

https://developers.openai.com/api/docs/api-reference/chat/object (``logprobs.content``)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from providers.answers.counts import member
from providers.conversation.conversation import Probabilities, TokenProbability


def read_probabilities(entries: Any) -> Iterator[Probabilities]:
    """The tokens of a list, as one event; nothing if it has none. Entries of another form are left out."""
    tokens = [
        TokenProbability(*found, tuple(filter(None, map(_token, _list(entry.get("top_logprobs"))))))
        for entry in _list(entries)
        if (found := _token(entry)) is not None
    ]
    if tokens:
        yield Probabilities(tuple(tokens))


def write_probabilities(tokens: Iterable[TokenProbability]) -> list[dict[str, Any]]:
    """The list of these tokens."""
    return [
        _entry(one.token, one.logprob) | {"top_logprobs": [_entry(*other) for other in one.alternatives]}
        for one in tokens
    ]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _token(entry: Any) -> tuple[str, float] | None:
    token, logprob = member(entry, "token"), member(entry, "logprob")
    if not isinstance(token, str) or not isinstance(logprob, int | float) or isinstance(logprob, bool):
        return None
    return token, float(logprob)


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
