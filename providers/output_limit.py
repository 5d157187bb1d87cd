"""An output limit that is lowered: what is common to all APIs. Each wire names the members.

A limit is only ever lowered. A member that states no whole number limits nothing that the gateway can rely on, so it is
replaced; a member that states a lower limit stays as it was sent.
"""

from __future__ import annotations

from typing import Final

from providers.document.splice import Edits

LEAST_OUTPUT: Final = 16
"""OpenAI rejects a lower ``max_output_tokens`` (and ``max_completion_tokens`` of newer models); elsewhere, an answer of
fewer tokens is of no use."""


def lower(edits: Edits, name: str, tokens: int) -> bool:
    """Lower a member to ``tokens`` if it is above; whether the object states this limit (is there and not null)."""
    if name not in edits or edits.is_null(name):
        return False
    stated = edits.count(name)
    if stated is None or stated > tokens:
        edits.replace(name, b"%d" % tokens)
    return True


def lower_or_state(edits: Edits, name: str, tokens: int) -> None:
    """Lower a limit, or state it if it is not there."""
    if not lower(edits, name, tokens):
        edits.put(name, b"%d" % tokens)
