"""Reasoning and its seals in a chat message: ``reasoning_details``, as OpenRouter defines them.

Chat Completions itself has no member for them. Each entry is a text, a summary or encrypted data; ``format`` names its
provider, and ``index`` shows which entries of a stream belong together. A signature is on the entry of its text.

https://openrouter.ai/docs/guides/best-practices/reasoning-tokens
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from providers.conversation.conversation import Reasoning, ReasoningDelta, Seal, Sealed
from providers.dialect import Family

_FORMATS: Final = {
    Family.OPENAI: "openai-responses-v1",
    Family.ANTHROPIC: "anthropic-claude-v1",
    Family.GOOGLE: "google-gemini-v1",
}
_FAMILIES: Final = {name: family for family, name in _FORMATS.items()} | {"azure-openai-responses-v1": Family.OPENAI}


def read_details(details: Any) -> Iterator[ReasoningDelta | Sealed]:
    """The reasoning in the entries; entries of another form or of an unknown format are skipped."""
    for entry in details if isinstance(details, list) else ():
        if not isinstance(entry, dict):
            continue
        text = entry.get("text", entry.get("summary"))
        if isinstance(text, str) and text:
            yield ReasoningDelta(text)
        family = _FAMILIES.get(str(entry.get("format")))
        data, signature, identity = (_text(entry.get(name)) for name in ("data", "signature", "id"))
        if family is not None and (data or signature):
            redacted = family is Family.ANTHROPIC and bool(data)
            yield Sealed(Seal(family, data or signature, identity if family is Family.OPENAI else "", redacted))


def text_entry(text: str, index: int) -> dict[str, Any]:
    """The entry of a text."""
    return {"type": "reasoning.text", "text": text, "index": index}


def seal_entry(seal: Seal, index: int) -> dict[str, Any]:
    """The entry of a seal: Anthropic's signature belongs to the text of the same index."""
    if seal.family is Family.ANTHROPIC and not seal.redacted:
        return {"type": "reasoning.text", "signature": seal.data, "format": _FORMATS[seal.family], "index": index}
    entry = {"type": "reasoning.encrypted", "data": seal.data, "format": _FORMATS[seal.family], "index": index}
    return entry | {"id": seal.id} if seal.id else entry


def write_details(reasoning: list[Reasoning]) -> list[dict[str, Any]]:
    """The entries of a whole message."""
    found: list[dict[str, Any]] = []
    for part in reasoning:
        entry = text_entry(part.text, len(found)) if part.text else None
        sealed = seal_entry(part.seal, len(found) + bool(entry)) if part.seal else None
        if entry and sealed and "signature" in sealed:
            found.append(entry | sealed | {"index": entry["index"]})
        else:
            found += [one for one in (entry, sealed) if one]
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
