"""Finds the strings of a JSON document, and decides by their place in the document how each is treated.

Rules that everything here obeys:

1. Every string is searched, member names too, except at documented places whose bytes must return to the provider
   unchanged: ids, signatures, encrypted reasoning, signed thinking, media in base64. A string is never exempt by its
   form, or by its name at another place: a tool's input may use any name.
2. A place is the path of names from the document's root, as written; elements of a list have the place of the list.
   A string deeper than `DEEPEST` has no place.
3. Whether signed text or media is exempt is decided by its object, after the object has ended: it is signed if the
   object has a signature.
4. Work is done in steps: None is yielded after each. The depth is not bounded, but the memory for it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from providers.dialect import Family
from providers.document.strings import snake

DEEPEST: Final = 64
_STEP: Final = 65_536  # bytes
_TOKENS: Final = 200  # structural characters


class Treatment(Enum):
    """How a string is treated."""

    TEXT = auto()  # search it
    JSON = auto()  # it contains JSON
    ADDRESS = auto()  # a URL, which may contain media
    MEDIA = auto()  # base64 of the type that its object states
    EXACT = auto()  # leave it unchanged
    REST = auto()  # the bytes after the opening quote of an unterminated string


class Place(NamedTuple):
    """A string token, quotes included, and its treatment; ``media`` is the type that its object states."""

    start: int
    end: int
    treatment: Treatment
    media: bytes = b""


class Leaf(NamedTuple):
    """The treatment of a string at a place, if its object meets the conditions; otherwise the string is searched.

    Attributes:
        treatment: The treatment.
        kinds: The object's ``type`` must be one of these, if there are any.
        thought: The object must be marked as a thought.
        signed: The object must have a signature, if the document is a request.
    """

    treatment: Treatment
    kinds: frozenset[bytes] = frozenset()
    thought: bool = False
    signed: bool = False


Places = Mapping[bytes | None, Any]
"""A tree of member names; the key None has the `Leaf` of a string at that place."""

_EXACT: Final = Leaf(Treatment.EXACT)
_JSON: Final = Leaf(Treatment.JSON)
_ADDRESS: Final = Leaf(Treatment.ADDRESS)
_MEDIA: Final = Leaf(Treatment.MEDIA)


def _tree(*rows: tuple[Leaf, str]) -> Places:
    root: dict[bytes | None, Any] = {}
    for leaf, paths in rows:
        for path in paths.split():
            node = root
            for name in path.split("."):
                node = node.setdefault(name.encode(), {})
            node[None] = leaf
    return root


def _kinds(treatment: Treatment, *kinds: bytes, signed: bool = False) -> Leaf:
    return Leaf(treatment, frozenset(kinds), signed=signed)


def _both(paths: str) -> str:
    """Each path in camelCase and in snake_case, which Google accepts too."""
    return f"{paths} {snake(paths)}"


# https://developers.openai.com/api/docs/api-reference; reasoning_details is OpenRouter's, thinking_blocks is LiteLLM's,
# extra_content is Google's, in its OpenAI-compatible API.
_OPENAI: Final = _tree(
    (
        _EXACT,
        """
        model messages.tool_call_id messages.tool_calls.id messages.audio.id messages.encrypted_content
        messages.reasoning_details.id messages.reasoning_details.data messages.reasoning_details.signature
        messages.thinking_blocks.signature messages.thinking_blocks.data
        messages.extra_content.google.thought_signature messages.tool_calls.extra_content.google.thought_signature
        input.id input.call_id input.encrypted_content
        """,
    ),
    (_kinds(Treatment.EXACT, b"reasoning.text", signed=True), "messages.reasoning_details.text"),
    (_kinds(Treatment.EXACT, b"thinking", signed=True), "messages.thinking_blocks.thinking"),
    (
        _ADDRESS,
        """
        messages.content.image_url messages.content.image_url.url messages.content.file.file_data
        input.content.image_url input.content.file_data input.output.image_url input.output.file_data
        """,
    ),
    (_MEDIA, "messages.content.input_audio.data input.content.input_audio.data"),
    (_kinds(Treatment.MEDIA, b"image_generation_call"), "input.result"),
    (_JSON, "messages.tool_calls.function.arguments messages.function_call.arguments input.arguments"),
)
# https://platform.claude.com/docs/en/api/messages
_ANTHROPIC: Final = _tree(
    (
        _EXACT,
        """
        model messages.content.id messages.content.tool_use_id messages.content.signature
        messages.content.encrypted_content messages.content.citations.encrypted_index
        messages.content.content.encrypted_content messages.content.content.encrypted_stdout
        """,
    ),
    (_kinds(Treatment.EXACT, b"redacted_thinking"), "messages.content.data"),
    (_kinds(Treatment.EXACT, b"thinking", signed=True), "messages.content.thinking"),
    (_kinds(Treatment.EXACT, b"compaction", signed=True), "messages.content.content"),
    (
        _kinds(Treatment.MEDIA, b"base64"),
        """
        messages.content.source.data messages.content.source.content.source.data
        messages.content.content.source.data messages.content.content.source.content.source.data
        """,
    ),
)
# https://ai.google.dev/api/generate-content
_GOOGLE: Final = _tree(
    (
        _EXACT,
        _both("contents.parts.thoughtSignature contents.parts.functionCall.id contents.parts.functionResponse.id"),
    ),
    (Leaf(Treatment.EXACT, thought=True, signed=True), "contents.parts.text"),
    (_MEDIA, _both("contents.parts.inlineData.data contents.parts.functionResponse.parts.inlineData.data")),
)
REQUESTS: Final[Mapping[Family, Places]] = {
    Family.OPENAI: _OPENAI,
    Family.ANTHROPIC: _ANTHROPIC,
    Family.GOOGLE: _GOOGLE,
}

# In answers and their events, a thought comes before its signature.
_MESSAGES: Final = "choices.message", "choices.delta"
ANSWERS: Final[Mapping[Family, Places]] = {
    Family.OPENAI: _tree(
        *((_EXACT, f"{at}.reasoning_details.text {at}.thinking_blocks.thinking") for at in _MESSAGES),
        *((_JSON, f"{at}.tool_calls.function.arguments {at}.function_call.arguments") for at in _MESSAGES),
        (_JSON, "arguments item.arguments output.arguments response.output.arguments"),
    ),
    Family.ANTHROPIC: _tree(
        (_EXACT, "content.thinking message.content.thinking content_block.thinking delta.thinking"),
        (_kinds(Treatment.EXACT, b"compaction"), "content.content message.content.content content_block.content"),
        (_kinds(Treatment.EXACT, b"compaction_delta"), "delta.content"),
        (_JSON, "delta.partial_json"),
    ),
    Family.GOOGLE: _tree((Leaf(Treatment.EXACT, thought=True), "candidates.content.parts.text")),
}
NOWHERE: Final = _tree()

_SIGN: Final = re.compile(rb'["\[\]{}]')
_INNER: Final = re.compile(rb'[^"\\]{0,65536}(?:\\.[^"\\]{0,64}){0,1000}', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_MEDIA_TYPES: Final = frozenset((b"media_type", b"mimeType", b"mime_type"))
_SIGNATURES: Final = frozenset((b"signature", b"thoughtSignature", b"thought_signature", b"encrypted_content"))


class _Object:
    """The state of an object, or of a list that is a member's value."""

    __slots__ = ("is_list", "key", "kind", "media", "node", "signed", "thought", "waiting")

    def __init__(self, node: Places | None, *, is_list: bool) -> None:
        self.node = node  # its node in the tree of places
        self.is_list = is_list
        self.key = b""
        self.kind = b""
        self.media = b""
        self.signed = False
        self.thought = False
        self.waiting: list[tuple[int, int, Leaf]] = []  # strings whose treatment depends on the whole object


def places(document: bytes, tree: Places) -> Iterator[Place | None]:
    """Yield every string of a JSON document with its treatment, and None after each step of bounded work.

    A string whose treatment depends on its object is yielded after the object has ended; the others come in the
    document's order. Invalid JSON yields the strings that it has, and at the end `Treatment.REST`.

    Args:
        document: The document.
        tree: The places whose treatment is not `Treatment.TEXT`.
    """
    stack: list[_Object] = []
    top = _Object(tree, is_list=True)  # the document itself, as if it were the only element of a list
    deeper = 0  # brackets below DEEPEST
    at = tokens = 0
    length = len(document)
    while at < length:
        found = _SIGN.search(document, at, at + _STEP)
        tokens += 1
        if found is None or tokens >= _TOKENS:
            tokens = 0
            yield None
        if found is None:
            at += _STEP
            continue
        start, at = found.span()
        sign = document[start]
        if sign == 0x22:
            while True:
                inner = _INNER.match(document, at)
                end = inner.end() if inner is not None else at
                if end >= length or document[end] == 0x22 or end == at:
                    break
                at = end
                yield None
            if end >= length or document[end] != 0x22:
                yield Place(start, length, Treatment.REST)
                break
            at = end + 1
            colon = _COLON.match(document, at) if not top.is_list or deeper else None
            if colon is not None:
                if not deeper:
                    top.key = document[start + 1 : end]
                    if top.key == b"thought":
                        top.thought = document.startswith(b"true", colon.end())
                yield Place(start, at, Treatment.TEXT)
                at = colon.end()
                continue
            leaf = None if deeper else _note(top, document, start, at)
            if leaf is None:
                yield Place(start, at, Treatment.TEXT)
            elif leaf.kinds or leaf.thought or leaf.treatment is Treatment.MEDIA:
                top.waiting.append((start, at, leaf))
            else:
                yield Place(start, at, leaf.treatment, top.media)
        elif sign in b"[{":
            if deeper or len(stack) >= DEEPEST:
                deeper += 1
                continue
            node = _below(top)
            stack.append(top)
            top = _Object(node, is_list=sign == 0x5B)
        elif deeper:
            deeper -= 1
        elif stack:
            yield from _decided(top)
            top = stack.pop()
    for left in (top, *reversed(stack)):
        yield from _decided(left)


def _below(frame: _Object) -> Places | None:
    if frame.node is None or frame.is_list:
        return frame.node
    node: Places | None = frame.node.get(frame.key)
    return node


def _note(frame: _Object, document: bytes, start: int, end: int) -> Leaf | None:
    """The treatment of a string in this object; also notes what the string says about the object."""
    if frame.node is None:
        return None
    if not frame.is_list:
        if frame.key == b"type":
            frame.kind = document[start + 1 : end - 1]
        elif frame.key in _MEDIA_TYPES:
            frame.media = document[start + 1 : end - 1]
        elif frame.key in _SIGNATURES:
            frame.signed = frame.signed or end - start > 2
    node = _below(frame)
    leaf: Leaf | None = node.get(None) if node else None
    return leaf


def _decided(frame: _Object) -> Iterator[Place]:
    """The strings whose treatment depended on the end of their object."""
    for start, end, leaf in frame.waiting:
        fits = (
            (not leaf.kinds or frame.kind in leaf.kinds)
            and (frame.thought or not leaf.thought)
            and (frame.signed or not leaf.signed)
        )
        yield Place(start, end, leaf.treatment if fits else Treatment.TEXT, frame.media)
    frame.waiting.clear()
