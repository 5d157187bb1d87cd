"""Removes tools that the operator has switched off from a request: agents offer some on every request.

A tool is removed only if the request offers it without forcing it. A request that forces such a tool is refused, since
its answer would be different without the tool. An unknown tool is refused too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from providers.dialect import Family, Head
from providers.document.look import values
from providers.document.members import Members, given, is_list, is_object, is_string, read_object
from providers.document.splice import Edits
from providers.steps import Steps
from providers.tools.catalog import UNKNOWN
from providers.tools.selection import MEMBERS, tool_in_definition, tools_in_gemini

_FREE: Final = frozenset((b'"auto"', b'"none"'))  # choices that force no tool
_CHOICE_BYTES: Final = 65_536  # longer than any list of allowed tools
_WITH_TOOLS: Final = {  # members that an API rejects in a request without tools
    Family.OPENAI: ("tool_choice", "parallel_tool_calls"),
    Family.ANTHROPIC: ("tool_choice",),
    Family.GOOGLE: ("toolConfig", "tool_config"),
}


def not_forced(family: Family, members: Members, offered: set[str]) -> Steps[frozenset[str]]:
    """Those tools in ``tools`` and in top-level members that the request does not force.

    Args:
        family: The API of the request.
        members: The request's members.
        offered: Closed ids of these tools.
    """
    offered = offered - {UNKNOWN}
    choice = members.raws.get("tool_choice")
    if not offered or family is Family.GOOGLE or choice is None or not given(choice):
        return frozenset(offered)
    if len(choice) < 8 and bytes(choice) in _FREE:
        return frozenset(offered)
    if is_string(choice):  # required: the model must call a tool, so one must be left
        return frozenset(offered) if (yield from _holds_another(family, members)) else frozenset()
    chosen = read_object(bytes(choice)) if is_object(choice) and len(choice) <= _CHOICE_BYTES else None
    if chosen is None:
        return frozenset()
    kind = chosen.text("type")
    if family is Family.ANTHROPIC:
        if kind in ("auto", "none"):
            return frozenset(offered)
        if kind == "any":
            return frozenset(offered) if (yield from _holds_another(family, members)) else frozenset()
        return frozenset(offered - (yield from _named(members, chosen.text("name"))))
    if kind in ("function", "custom"):
        return frozenset(offered)
    if kind != "allowed_tools":
        return frozenset(offered - (yield from tool_in_definition(family, choice)))
    inner = chosen.raw("allowed_tools")  # Chat Completions wrap the list once more
    listed = chosen if inner is None else read_object(bytes(inner))
    raw = None if listed is None else listed.raw("tools")
    forced: set[str] = set()
    for one in _definitions(raw):
        forced |= yield from tool_in_definition(family, one)
    return frozenset(offered - forced)


def _definitions(raw: msgspec.Raw | None) -> Sequence[msgspec.Raw]:
    """The tools of a list; empty if it is not a list."""
    return values(raw) if raw is not None and is_list(raw) else ()


def _holds_another(family: Family, members: Members) -> Steps[bool]:
    """Whether the list has a tool that the client runs."""
    for one in _definitions(members.raws.get("tools")):
        if not (yield from tool_in_definition(family, one)):
            return True
    return False


def _named(members: Members, name: str | None) -> Steps[set[str]]:
    """Ids of the tools with this name."""
    found: set[str] = set()
    for one in _definitions(members.raws.get("tools")):
        tool = read_object(bytes(one))
        if tool is not None and tool.text("name") == name:
            found |= yield from tool_in_definition(Family.ANTHROPIC, one)
    return found


def less_refused(head: Head, allowed: frozenset[str]) -> Head:
    """The head of the request without the tools that are not allowed; the same head if it forces one of them."""
    gone = head.server_tools - allowed
    if not gone or not gone <= head.optional_tools:
        return head
    return msgspec.structs.replace(
        head,
        server_tools=head.server_tools - gone,
        removed_tools=head.removed_tools | gone,
        text_only=True if "openai_image_generation" in gone else head.text_only,
    )


def remove_tools(edits: Edits, family: Family, gone: frozenset[str]) -> Steps[None]:
    """Remove these tools from a request, and with the last tool the members that are only allowed beside tools."""
    for name, tool in MEMBERS[family]:
        if tool in gone:
            edits.remove(name)
    sent = edits.current("tools")
    if sent is None:
        return
    kept = yield from _kept(family, msgspec.Raw(sent), gone)
    if kept:
        edits.replace("tools", b"[" + b",".join(kept) + b"]")
        return
    edits.remove("tools")
    for name in _WITH_TOOLS[family]:
        edits.remove(name)


def _kept(family: Family, listed: msgspec.Raw, gone: frozenset[str]) -> Steps[list[bytes]]:
    """The definitions of a list without these tools."""
    kept: list[bytes] = []
    for one in values(listed) if is_list(listed) else [listed]:
        left = yield from _left(family, one, gone)
        if left is not None:
            kept.append(left)
        yield
    return kept


def _left(family: Family, definition: msgspec.Raw, gone: frozenset[str]) -> Steps[bytes | None]:
    """The rest of a definition without these tools; ``None`` if nothing is left."""
    text = bytes(definition)
    if family is not Family.GOOGLE and not (yield from tool_in_definition(family, definition)) & gone:
        return text
    tool = read_object(text)
    if tool is None:
        return text
    edits = Edits(text, tool.spans)
    if family is Family.GOOGLE:  # each member is a tool
        left = len(tool.raws)
        for name, value in tool.raws.items():
            single = msgspec.Raw(b'{"%b":%b}' % (name.encode(), bytes(value)))
            if (yield from tools_in_gemini(single)) & gone:
                edits.remove(name)
                left -= 1
        return edits.build() if left else None
    group = tool.raws.get("tools") if tool.text("type") == "namespace" else None
    if group is None:
        return None
    kept = yield from _kept(family, group, gone)
    if not kept:
        return None
    edits.replace("tools", b"[" + b",".join(kept) + b"]")
    return edits.build()
