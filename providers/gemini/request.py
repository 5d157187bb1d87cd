"""Gemini's generateContent family: the request side. The model is named in the path.

Google reads protobuf's JSON: every name is accepted in camelCase and in snake_case, and a lone
object is read as a list of one. A body that names a member in both spellings is refused, since
which of the two counts is the parser's choice.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from metering.usage import ServiceTier, Variant
from providers.answers.body import JsonBody, Reader
from providers.answers.sniff import scanner_by_label
from providers.dialect import Head, Operation, Refusal, Scanner, Target
from providers.document.look import Look
from providers.document.members import (
    ABSENT,
    Members,
    count_of,
    decode_text,
    given,
    read_members,
    read_model,
    read_nested,
    read_object,
)
from providers.document.projection import Wanted
from providers.document.splice import Edits
from providers.document.strings import quoted
from providers.gemini.answer import (
    CHUNK,
    COUNTED,
    GenerateArray,
    GenerateStream,
    read_counted,
    read_embedded,
    read_generated,
)
from providers.gemini.weight import weigh
from providers.members import register
from providers.members.register import examine
from providers.output_limit import LEAST_OUTPUT, lower
from providers.tools.selection import tools_in_gemini


class _File(msgspec.Struct):
    fileUri: msgspec.Raw = ABSENT  # noqa: N815 - the wire's spelling
    file_uri: msgspec.Raw = ABSENT


class _FilePart(msgspec.Struct):
    fileData: _File | None = None  # noqa: N815
    file_data: _File | None = None


class _Response(msgspec.Struct):
    parts: list[_FilePart] | _FilePart | None = None


class _Part(_FilePart):
    functionResponse: _Response | None = None  # noqa: N815
    function_response: _Response | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | _Part | None = None


class _Request(msgspec.Struct):
    content: _Content | None = None


_CONTENTS = Look(_Content)
_REQUESTS = Look(_Request)
_RAW = Look(msgspec.Raw)

# A resource of the Files API, by its full address or by its bare name.
_FILES_API: Final = re.compile(
    r"(?:(?:https?:)?//[^/]*generativelanguage\.googleapis\.com(?::\d+)?/.*)?files/", re.IGNORECASE
)
_FILE_KEPT: Final = "Files of the Files API are kept at the provider: send the file's data inline instead."
_TWICE: Final = "A member of the request body appears in both spellings: leave one out."

_SPELLINGS: Final = (
    ("generationConfig", "generation_config"),
    ("cachedContent", "cached_content"),
    ("systemInstruction", "system_instruction"),
    ("serviceTier", "service_tier"),
    ("generateContentRequest", "generate_content_request"),
    ("toolConfig", "tool_config"),
)
_LIMITS: Final = ("generationConfig", "generation_config")
_LIMIT: Final = b'{"maxOutputTokens":%d}'
_LEAST_THINKING: Final = 512
_STANDARD: Final = Variant()
_TIERS: Final = {
    "unspecified": ServiceTier.STANDARD,
    "standard": ServiceTier.STANDARD,
    "flex": ServiceTier.FLEX,
    "priority": ServiceTier.PRIORITY,
}


_BODIES: Final[dict[Operation, tuple[Reader, Wanted]]] = {
    Operation.GEMINI_GENERATE: (read_generated, CHUNK),
    Operation.GEMINI_COUNT_TOKENS: (read_counted, COUNTED),
    Operation.GEMINI_EMBED: (read_embedded, CHUNK),
    Operation.GEMINI_BATCH_EMBED: (read_embedded, CHUNK),
}


class Gemini:
    """The `Wire` of one operation of the Gemini API."""

    def __init__(self, operation: Operation, verb: str, *, billed: bool, generates: bool) -> None:
        self.operation = operation
        self.billed = billed
        self._verb = verb
        self._generates = generates
        self._streams = operation is Operation.GEMINI_STREAM

    def read(self, body: bytes, path_model: str | None) -> Head:
        members = read_members(body)
        found = examine(self.operation, members, body)
        model = read_model(members, path_model).removeprefix("models/")
        tools = set[str]()
        _read_request(members, tools)
        # Counting tokens takes a whole request as a member of its own.
        nested = read_nested(members, "generateContentRequest", "generate_content_request")
        if nested is not None:
            _read_request(nested, tools)
        limits = read_nested(members, "generationConfig", "generation_config")
        output_limit, choices = (None if self._generates else 0), 1
        text_only = None
        if limits is not None and self._generates:
            _refuse_spellings(limits, (("maxOutputTokens", "max_output_tokens"), ("candidateCount", "candidate_count")))
            output_limit = limits.count("maxOutputTokens", "max_output_tokens")
            choices = limits.count("candidateCount", "candidate_count") or 1
            if limits.raw("responseModalities", "response_modalities") is not None:
                text_only = False
        return Head(
            model=model,
            stream=self._streams,
            output_limit=output_limit,
            least_output=LEAST_OUTPUT if self._generates else None,
            text_only=text_only,
            choices=choices,
            server_tools=frozenset(tools),
            variant=_read_variant(members),
            members=members.spans,
            weight=weigh(members, len(body)),
            found=found,
        )

    def splice(self, body: bytes, head: Head, target: Target) -> bytes:
        edits = Edits(body, head.members)
        register.edit(edits, self.operation.family, head.found, target)
        self._edit(edits, target)
        for name in ("generateContentRequest", "generate_content_request"):
            if name in head.members:
                edits.edit_object(name, lambda inner: self._edit(inner, target))
        if target.alias and self.operation is Operation.GEMINI_BATCH_EMBED:
            _edit_requests(edits, target)
        if target.output_limit is not None and self._generates:
            limited(edits, target.output_limit)
        return edits.build()

    def _edit(self, edits: Edits, target: Target) -> None:
        # A body may repeat the path's model; the two must agree.
        if target.alias and edits.value("model") is not None:
            edits.replace("model", quoted(f"models/{target.model}"))
        # Projects log prompts by default unless the request says otherwise:
        # https://ai.google.dev/gemini-api/docs/logs-datasets
        if self._generates and target.store:
            edits.put("store", b"false")
        else:
            edits.remove("store")

    def path(self, model: str) -> str:
        return f"/v1beta/models/{quote(model, safe='')}:{self._verb}"

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        return scanner_by_label(
            sse if self._generates else False, lambda: GenerateStream(head), lambda: self._body(head)
        )

    def _body(self, head: Head) -> Scanner:
        if self._streams:
            return GenerateArray(head)
        reader, wanted = _BODIES[self.operation]
        return JsonBody(head, reader, wanted, generated=self._generates)


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit, and a thinking budget that would use all of it to half of it: thoughts count against the
    limit. A budget of 512 is taken by every model that takes one, so it is not lowered further.
    """
    name = next((name for name in _LIMITS if edits.value(name) not in (None, b"null")), None)
    if name is None:
        edits.put(next((name for name in _LIMITS if edits.value(name) is not None), _LIMITS[0]), _LIMIT % tokens)
        return
    edits.edit_object(name, lambda limits: _lower(limits, tokens))


def _lower(limits: Edits, tokens: int) -> None:
    if not (lower(limits, "maxOutputTokens", tokens) or lower(limits, "max_output_tokens", tokens)):
        null = limits.value("max_output_tokens") is not None
        limits.put("max_output_tokens" if null else "maxOutputTokens", b"%d" % tokens)
    for name in ("thinkingConfig", "thinking_config"):
        limits.edit_object(name, lambda thinking: _lower_thinking(thinking, tokens))


def _lower_thinking(thinking: Edits, tokens: int) -> None:
    for name in ("thinkingBudget", "thinking_budget"):
        budget = count_of(thinking.value(name) or b"")  # -1, for as much as the model likes, is none
        if budget is not None and budget >= tokens:
            thinking.replace(name, b"%d" % min(budget, max(_LEAST_THINKING, tokens // 2)))


def _read_request(members: Members, tools: set[str]) -> None:
    _refuse_spellings(members, _SPELLINGS)
    tools |= tools_in_gemini(members.raws.get("tools"))
    for name in ("contents", "content", "systemInstruction", "system_instruction"):
        raw = members.raws.get(name)
        if raw is not None:
            _read_contents(raw)
    for request in _REQUESTS.one_or_more(members.raws.get("requests")):  # a batch of embeddings
        if request.content is not None:
            _read_parts(request.content.parts)


def _refuse_spellings(members: Members, spellings: tuple[tuple[str, str], ...]) -> None:
    for camel, snake in spellings:
        if camel in members.raws and snake in members.raws:
            raise Refusal("invalid_request", _TWICE, camel)


def _read_variant(members: Members) -> Variant:
    named = members.text("serviceTier", "service_tier")
    if named is None:
        return _STANDARD
    return Variant(tier=_TIERS.get(named.lower().removeprefix("service_tier_"), ServiceTier.OTHER))


def _read_contents(raw: msgspec.Raw) -> None:
    for content in _CONTENTS.one_or_more(raw):
        _read_parts(content.parts)


def _read_parts(parts: Sequence[_FilePart] | _FilePart | None) -> None:
    if parts is None:
        return
    for part in (parts,) if isinstance(parts, _FilePart) else parts:
        _refuse_file(part.fileData)
        _refuse_file(part.file_data)
        if isinstance(part, _Part):
            for response in (part.functionResponse, part.function_response):
                if response is not None:
                    _read_parts(response.parts)


def _refuse_file(file: _File | None) -> None:
    if file is None:
        return
    for uri in (file.fileUri, file.file_uri):
        if given(uri) and _FILES_API.match(decode_text(uri) or ""):
            raise Refusal("privacy_unsupported", _FILE_KEPT, "fileData")


def _edit_requests(edits: Edits, target: Target) -> None:
    value = edits.value("requests")
    if value is None:
        return
    edited: list[bytes] = []
    for raw in _RAW.one_or_more(msgspec.Raw(value)):
        text = bytes(raw)
        members = read_object(text)
        if members is None:
            return
        inner = Edits(text, members.spans)
        inner.put("model", quoted(f"models/{target.model}"))
        edited.append(inner.build())
    if edited:
        edits.replace("requests", b"[" + b",".join(edited) + b"]")


GENERATE: Final = Gemini(Operation.GEMINI_GENERATE, "generateContent", billed=True, generates=True)
STREAM: Final = Gemini(Operation.GEMINI_STREAM, "streamGenerateContent", billed=True, generates=True)
COUNT_TOKENS: Final = Gemini(Operation.GEMINI_COUNT_TOKENS, "countTokens", billed=False, generates=False)
EMBED: Final = Gemini(Operation.GEMINI_EMBED, "embedContent", billed=True, generates=False)
BATCH_EMBED: Final = Gemini(Operation.GEMINI_BATCH_EMBED, "batchEmbedContents", billed=True, generates=False)
