"""Which server-side tools a request selects: the ``tools`` list of each dialect, only by type.

Only the type of a tool's definition is read; schemas, descriptions and names are
skipped. A type that `providers.tools.catalog` does not list is `UNKNOWN`, so that a tool that a provider
adds later is refused until somebody has read what it keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from providers.dialect import Family
from providers.document.look import Misfit, all_objects, says
from providers.document.members import ABSENT, Members, count_of, decode_text, given, is_list, word
from providers.document.objects import Objects, Part
from providers.document.strings import snake
from providers.steps import Steps
from providers.tools.catalog import SERVER_TOOLS, UNKNOWN

_EXACT: Final = {(tool.family, name): tool.id for tool in SERVER_TOOLS for name in tool.types}
_DATED: Final = {(tool.family, name) for tool in SERVER_TOOLS if tool.dated for name in tool.types}
MEMBERS: Final = {
    family: tuple((name, tool.id) for tool in SERVER_TOOLS if tool.family is family for name in tool.members)
    for family in Family
}
"""Top-level members that switch on a tool, each with that tool's id."""
_OFF: Final = frozenset((b"null", b"false", b"[]"))
_DATE: Final = re.compile(r"(?:_\d{8}|_\d{4}_\d{2}_\d{2})\Z")

_CLIENT: Final = frozenset(
    {(Family.OPENAI, name) for name in ("function", "custom", "local_shell", "apply_patch", "computer")}
    | {(Family.OPENAI, name) for name in ("computer_use", "computer_use_preview")}
    | {(Family.ANTHROPIC, name) for name in ("custom", "bash", "text_editor", "memory", "computer")}
    | {(Family.ANTHROPIC, name) for name in ("computer_toolset", "browser_toolset")}
    | {(Family.GOOGLE, name) for name in ("function_declarations", "computer_use")}
)
"""Tools that the client runs: the model only asks for them, and no further data is sent to anybody."""


# The type of nearly every tool in every request, compared without decoding.
_PLAIN: Final = {
    family: frozenset((b"", b"null", *(f'"{name}"'.encode() for kind, name in _CLIENT if kind is family)))
    for family in Family
}


class _Environment(msgspec.Struct):
    type: msgspec.Raw = ABSENT


_ENVIRONMENT = msgspec.json.Decoder(_Environment)


def tools_in_members(family: Family, members: Members) -> set[str]:
    """Ids of the tools that top-level members switch on."""
    found: set[str] = set()
    for name, tool in MEMBERS[family]:
        raw = members.raws.get(name)
        # An empty object switches a tool on with its defaults; an empty list switches nothing on.
        if raw is not None and (len(raw) > 5 or bytes(raw) not in _OFF):
            found.add(tool)
    return found


def tools_in_list(
    family: Family, raw: msgspec.Raw | None, objects: Objects | None = None, *, grouped: bool = False
) -> Steps[set[str]]:
    """Ids of the tools in an OpenAI or Anthropic ``tools`` list; a value that is not a list is `UNKNOWN`.

    Args:
        family: The API.
        raw: The list.
        objects: What was decoded of the request.
        grouped: The list is a group inside a ``tools`` list; groups do not nest.
    """
    if raw is None or not given(raw):
        return set()
    found: set[str] = set()
    plain = _PLAIN[family]
    try:
        for batch in _tools_of(raw, objects):
            for tool in batch:
                if word(tool.get("type", ABSENT)) not in plain:
                    yield from _classify(family, tool, found, objects, grouped=grouped)
            yield
    except Misfit:
        return {UNKNOWN}
    return found


def _tools_of(raw: msgspec.Raw, objects: Objects | None) -> Iterable[list[Part]]:
    """Raises `Misfit` if the value is not a list of objects."""
    if not is_list(raw):
        raise Misfit
    return all_objects(objects or Objects(), raw)


def most_uses(raw: msgspec.Raw | None, objects: Objects) -> Steps[int | None]:
    """The sum of ``max_uses`` of the tools in an Anthropic ``tools`` list that run at the provider; ``None`` if one has
    no limit.
    """
    if raw is None or not given(raw):
        return None
    plain = _PLAIN[Family.ANTHROPIC]
    uses: list[int | None] = []
    try:
        for batch in _tools_of(raw, objects):
            uses += [
                count_of(word(tool.get("max_uses", ABSENT)))
                for tool in batch
                if word(tool.get("type", ABSENT)) not in plain
            ]
            yield
    except Misfit:
        return None
    known = [count for count in uses if count is not None]
    return sum(known) if known and len(known) == len(uses) else None


def tool_in_definition(family: Family, raw: msgspec.Raw) -> Steps[set[str]]:
    """Like `tools_in_list`, for a single definition outside of ``tools``."""
    return (yield from tools_in_list(family, msgspec.Raw(b"[" + bytes(raw) + b"]"))) if given(raw) else set()


def tools_in_gemini(raw: msgspec.Raw | None, objects: Objects | None = None) -> Steps[set[str]]:
    """Ids of the tools in Gemini's ``tools``: a list of objects (or one) whose members are tools."""
    if raw is None or not given(raw):
        return set()
    found: set[str] = set()
    try:
        for batch in all_objects(objects or Objects(), raw):
            for tool in batch:
                for name, value in tool.items():
                    if given(value):
                        key = (Family.GOOGLE, snake(name))
                        if key not in _CLIENT:
                            found.add(_EXACT.get(key, UNKNOWN))
            yield
    except Misfit:
        return {UNKNOWN}
    return found


def _classify(family: Family, tool: Part, found: set[str], objects: Objects | None, *, grouped: bool) -> Steps[None]:
    kind = tool.get("type", ABSENT)
    name = decode_text(kind) if len(kind) < 256 else None
    if name is None:
        found.add(UNKNOWN)
        return
    key = (family, name)
    if key in _CLIENT:
        return
    if family is Family.OPENAI:
        if name == "namespace" and not grouped:
            found |= yield from tools_in_list(family, tool.get("tools"), objects, grouped=True)
            return
        if name == "shell":
            if _is_hosted(tool.get("environment", ABSENT)):
                found.add("openai_shell")
            return
        if name == "tool_search" and says(tool.get("execution", ABSENT), "client"):
            return
    if key not in _EXACT:
        base = (family, _DATE.sub("", name))
        if base in _CLIENT:
            return
        key = base if base in _DATED else key
    found.add(_EXACT.get(key, UNKNOWN))


def _is_hosted(environment: msgspec.Raw) -> bool:
    # Without this member, or with "local", the shell is the client's; any container is the provider's.
    if not given(environment):
        return False
    try:
        return not says(_ENVIRONMENT.decode(environment).type, "local")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
