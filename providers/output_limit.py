"""Lowers a request's output limit: the part that is the same in all APIs. Each wire names the members.

A limit is never raised. A member that is not a whole number is no limit that the gateway can rely on, so it is
replaced; a member with a lower limit is sent unchanged.
"""

from __future__ import annotations

from typing import Final

from providers.document.splice import Edits

LEAST_OUTPUT: Final = 16
"""OpenAI rejects a lower ``max_output_tokens`` (and ``max_completion_tokens`` of newer models); in other APIs, an
answer with fewer tokens is useless."""


def lower(edits: Edits, name: str, tokens: int) -> bool:
    """Lower a member to ``tokens`` if it is higher; return whether the member is present and not null."""
    if name not in edits or edits.is_null(name):
        return False
    stated = edits.count(name)
    if stated is None or stated > tokens:
        edits.replace(name, b"%d" % tokens)
    return True


def lower_or_state(edits: Edits, name: str, tokens: int) -> None:
    """Lower a limit, or add it if it is absent."""
    if not lower(edits, name, tokens):
        edits.put(name, b"%d" % tokens)
