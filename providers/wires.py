"""Every operation's `Wire`, by its closed name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from providers import (
    anthropic_messages,
    gemini,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from providers.dialect import Operation, Wire

_ALL: Final[tuple[Wire, ...]] = (
    openai_chat.WIRE,
    openai_responses.RESPONSES,
    openai_responses.COMPACT,
    openai_responses.INPUT_TOKENS,
    openai_completions.WIRE,
    openai_embeddings.WIRE,
    anthropic_messages.MESSAGES,
    anthropic_messages.COUNT_TOKENS,
    gemini.GENERATE,
    gemini.STREAM,
    gemini.COUNT_TOKENS,
    gemini.EMBED,
    gemini.BATCH_EMBED,
)

WIRES: Final[Mapping[Operation, Wire]] = MappingProxyType({wire.operation: wire for wire in _ALL})
