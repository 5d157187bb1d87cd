"""The further models that a request of the Messages API names: those of ``fallbacks``, and of tools that ask one.

https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from providers.dialect import FurtherModel, Refusal
from providers.document.look import Look, values
from providers.document.members import (
    ABSENT,
    MAX_MODEL,
    Members,
    decode_text,
    given,
    is_list,
    is_object,
    read_object,
)
from providers.document.splice import Edits
from providers.document.strings import quoted
from providers.steps import Steps

_DEFAULT: Final = "The provider's own choice of fallback models is not served: name the models, or leave out fallbacks."
_SHAPE: Final = "fallbacks must be a list of objects, each with a model."
_TOOL_SHAPE: Final = "The model of a tool must be a string."
_MOST: Final = 16
_MOST_BYTES: Final = 16_384


class _Tool(msgspec.Struct):
    model: msgspec.Raw = ABSENT


_TOOLS: Final = Look(_Tool)


def further_models(members: Members) -> Steps[tuple[FurtherModel, ...]]:
    """In the order of the request. Raises `Refusal` for what is not of the documented form."""
    raw = members.raw("fallbacks")
    found = [] if raw is None else [_fallback(bytes(entry)) for entry in _entries(raw)]
    tools = members.raw("tools")
    if tools is not None and b'"model"' in bytes(tools):
        for batch in _TOOLS.batches(tools):
            found += [_of_tool(tool.model) for tool in batch if given(tool.model)]
            yield
    return tuple(found)


def rename(edits: Edits, names: Mapping[str, str]) -> None:
    """Put the provider's own names of fallback models in the place of the client's."""

    def renamed(entry: Edits) -> None:
        name = decode_text(msgspec.Raw(entry.value("model") or b""))
        if name is not None and name in names:
            entry.replace("model", quoted(names[name]))

    edits.edit_each("fallbacks", renamed)


def _entries(raw: msgspec.Raw) -> list[msgspec.Raw]:
    if decode_text(raw) is not None:
        raise Refusal("unsupported_feature", _DEFAULT, "fallbacks")
    if not is_list(raw) or len(raw) > _MOST_BYTES or len(entries := values(raw)) > _MOST:
        raise Refusal("invalid_request", _SHAPE, "fallbacks")
    return entries


def _fallback(entry: bytes) -> FurtherModel:
    members = read_object(entry) if is_object(msgspec.Raw(entry)) else None
    name = None if members is None else members.text("model")
    if members is None or name is None or not 0 < len(name) <= MAX_MODEL:
        raise Refusal("invalid_request", _SHAPE, "fallbacks")
    return FurtherModel(name, "fallbacks", members.count("max_tokens"), fast=members.text("speed") == "fast")


def _of_tool(model: msgspec.Raw) -> FurtherModel:
    name = decode_text(model)
    if name is None or not 0 < len(name) <= MAX_MODEL:
        raise Refusal("invalid_request", _TOOL_SHAPE, "tools")
    return FurtherModel(name, "tools")
