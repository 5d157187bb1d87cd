"""The further models that a Messages request names: those in ``fallbacks``, and those that its tools call.

https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from providers.dialect import FurtherModel, Refusal
from providers.document.look import values
from providers.document.members import (
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

_DEFAULT: Final = "The provider's own choice of fallback models is not served: name the models, or leave out fallbacks."
_SHAPE: Final = "fallbacks must be a list of objects, each with a model."
_TOOL_SHAPE: Final = "The model of a tool must be a string."
_MOST: Final = 16
_MOST_BYTES: Final = 16_384


def further_models(members: Members, asked: Iterable[msgspec.Raw]) -> tuple[FurtherModel, ...]:
    """The further models, in the order of the request. Raises `Refusal` if one has not the documented form.

    Args:
        members: The request's members.
        asked: The models that its tools name.
    """
    raw = members.raw("fallbacks")
    found = [] if raw is None else [_fallback(bytes(entry)) for entry in _entries(raw)]
    found += [_of_tool(model) for model in asked if given(model)]
    return tuple(found)


def rename(edits: Edits, names: Mapping[str, str]) -> None:
    """Replace the client's names of fallback models with the provider's."""

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
