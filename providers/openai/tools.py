"""Tools, schemas and efforts as both of OpenAI's APIs define them, for their readers and writers of the hub."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final

import msgspec

from providers.conversation.conversation import Conversation, Effort, Tool, Use
from providers.dialect import Refusal

_CHOICE: Final = "The tool choice is auto, none, required, or a function or custom tool that is in tools."
ONE_TEXT: Final = b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
"""The parameters of the function that replaces a custom tool."""

_USES: Final = {"auto": Use.AUTO, "required": Use.REQUIRED, "none": Use.NONE}
_EFFORTS: Final = {effort.value: effort for effort in Effort}


def read_choice(
    tools: tuple[Tool, ...], mode: str | None = None, *, named: str | None = None, allowed: Container[str] | None = None
) -> tuple[Use | None, str, tuple[Tool, ...]]:
    """Whether a tool is called, which one, and the tools that may be.

    Args:
        tools: Those of the request.
        mode: The choice, if it is a word.
        named: The tool that it names, if it names one.
        allowed: The names of the tools that may be called, if the choice lists them.

    Raises:
        Refusal: The choice is another word, or names a tool that the request does not have.
    """
    if named is not None:
        if all(tool.name != named for tool in tools):
            raise Refusal("invalid_request", _CHOICE, "tool_choice")
        return Use.REQUIRED, named, tools
    if mode is not None and mode not in _USES:
        raise Refusal("invalid_request", _CHOICE, "tool_choice")
    use = None if mode is None else _USES[mode]
    return use, "", tools if allowed is None else tuple(tool for tool in tools if tool.name in allowed)


def kind_of(tools: Sequence[Tool], name: str) -> str:
    """``custom`` for a custom tool, ``function`` for any other."""
    return "custom" if any(tool.one_text and tool.name == name for tool in tools) else "function"


def schema_form(conversation: Conversation) -> dict[str, Any]:
    """The name, the schema and the strictness of an answer that must fit a schema."""
    return {
        "name": conversation.schema_name or "answer",
        "schema": msgspec.Raw(conversation.schema),
        "strict": bool(conversation.schema_strict),
    }


def effort_of(named: str | None) -> Effort | None:
    """The effort with this name; an unknown name counts as not stated."""
    return _EFFORTS.get(named) if named is not None else None


def input_of(arguments: bytes) -> str:
    """The text of a custom tool's call: the member ``input``, or, in a call of another form, all of it."""
    found = msgspec.json.decode(arguments).get("input")
    return found if isinstance(found, str) else arguments.decode()
