"""The table of all wires: every operation's `Wire`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from providers.anthropic import messages as anthropic_messages
from providers.dialect import Operation, Wire
from providers.gemini import request as gemini
from providers.openai import chat as openai_chat
from providers.openai import completions as openai_completions
from providers.openai import embeddings as openai_embeddings
from providers.openai import responses as openai_responses

_ALL: Final[tuple[Wire, ...]] = (
    openai_chat.WIRE,
    openai_responses.RESPONSES,
    openai_responses.COMPACT,
    openai_responses.INPUT_TOKENS,
    openai_completions.COMPLETIONS,
    openai_completions.FILL_IN,
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
