"""Gemini's generateContent family: the request side. The model is named in the path.

Google reads protobuf's JSON: every name is accepted in camelCase and in snake_case, and a single
object is read as a list of one. A body that has a member in both spellings is refused, since
the parser would choose one of the two values.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

from metering.usage import ServiceTier, Variant
from providers.answers.body import JsonBody, Reader
from providers.answers.sniff import scanner_by_label
from providers.bounds import STEP_ELEMENTS
from providers.dialect import Family, Head, Operation, Refusal, Scanner, Target, media_out
from providers.document.addresses import refuse_kept
from providers.document.look import values
from providers.document.members import (
    Members,
    given,
    is_list,
    read_members,
    read_model,
    read_nested,
    read_object,
    words,
)
from providers.document.objects import Part
from providers.document.projection import Wanted
from providers.document.splice import Edits, Splicing
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
from providers.gemini.output import chunk_output
from providers.gemini.weight import weigh
from providers.members import deep, register
from providers.members.parts import walk
from providers.output_limit import LEAST_OUTPUT, lower
from providers.steps import Steps
from providers.tools.removal import not_forced, remove_tools
from providers.tools.selection import tools_in_gemini

_FILES: Final = frozenset(("fileData", "file_data"))
_URIS: Final = ("fileUri", "file_uri")
_ROOTS: Final = ("contents", "content", "systemInstruction", "system_instruction", "tools", "requests")
_NESTED: Final = ("generateContentRequest", "generate_content_request")
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


class Gemini(Splicing):
    """The `Wire` of one operation of the Gemini API."""

    def __init__(self, operation: Operation, verb: str, *, billed: bool, generates: bool) -> None:
        self.operation = operation
        self.billed = billed
        self._verb = verb
        self._generates = generates
        self._streams = operation is Operation.GEMINI_STREAM

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body)
        _refuse_spellings(members, _SPELLINGS)
        # A request to count tokens may contain a whole request as a member.
        nested = read_nested(members, *_NESTED)
        found = yield from register.examine(self.operation, members, _ROOTS if nested is None else (*_ROOTS, *_NESTED))
        model = read_model(members, path_model).removeprefix("models/")
        tools = set[str]()
        held = yield from _read_request(members, tools)
        optional = yield from not_forced(self.operation.family, members, tools)
        if nested is not None:
            _refuse_spellings(nested, _SPELLINGS)
            within = set[str]()
            held |= yield from _read_request(nested, within)
            held |= yield from deep.may_hold(self.operation.family, nested, _ROOTS)
            tools |= within
            optional -= within
        limits = read_nested(members, "generationConfig", "generation_config")
        output_limit, choices = (None if self._generates else 0), 1
        text_only, asked = None, frozenset[str]()
        if limits is not None and self._generates:
            _refuse_spellings(limits, (("maxOutputTokens", "max_output_tokens"), ("candidateCount", "candidate_count")))
            output_limit = limits.count("maxOutputTokens", "max_output_tokens")
            choices = limits.count("candidateCount", "candidate_count") or 1
            modalities = limits.raw("responseModalities", "response_modalities")
            if modalities is not None:
                text_only = False
                asked = media_out(words(modalities))
        return Head(
            model=model,
            stream=self._streams,
            output_limit=output_limit,
            least_output=LEAST_OUTPUT if self._generates else None,
            text_only=text_only,
            media_out=asked,
            choices=choices,
            server_tools=frozenset(tools),
            optional_tools=optional,
            variant=_read_variant(members),
            members=members.spans,
            weight=(yield from weigh(members, len(body))),
            found=register.seen(found, held),
        )

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]:
        edits = Edits(body, head.members)
        yield from register.edit(edits, self.operation.family, head.found, target)
        if head.removed_tools:
            yield from remove_tools(edits, self.operation.family, head.removed_tools)
        self._edit(edits, target)
        for name in _NESTED:
            if name in head.members:
                edits.edit_object(name, lambda inner: self._edit(inner, target))
        if target.alias and self.operation is Operation.GEMINI_BATCH_EMBED:
            yield from _edit_requests(edits, target)
        if target.output_limit is not None and self._generates:
            limited(edits, target.output_limit)
        return edits

    def _edit(self, edits: Edits, target: Target) -> None:
        # A body may repeat the path's model; the two must agree.
        if target.alias and "model" in edits:
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
        return JsonBody(head, reader, wanted, output=chunk_output if self._generates else None)


def limited(edits: Edits, tokens: int) -> None:
    """Lower the output limit. A thinking budget that would use all of it is lowered to half of it, since thoughts count
    against the limit, but not below 512, which every model with a budget accepts.
    """
    name = next((name for name in _LIMITS if name in edits and not edits.is_null(name)), None)
    if name is None:
        edits.put(next((name for name in _LIMITS if name in edits), _LIMITS[0]), _LIMIT % tokens)
        return
    edits.edit_object(name, lambda limits: _lower(limits, tokens))


def _lower(limits: Edits, tokens: int) -> None:
    if not (lower(limits, "maxOutputTokens", tokens) or lower(limits, "max_output_tokens", tokens)):
        null = "max_output_tokens" in limits
        limits.put("max_output_tokens" if null else "maxOutputTokens", b"%d" % tokens)
    for name in ("thinkingConfig", "thinking_config"):
        limits.edit_object(name, lambda thinking: _lower_thinking(thinking, tokens))


def _lower_thinking(thinking: Edits, tokens: int) -> None:
    for name in ("thinkingBudget", "thinking_budget"):
        budget = thinking.count(name)  # -1, which lets the model decide, is not a count
        if budget is not None and budget >= tokens:
            thinking.replace(name, b"%d" % min(budget, max(_LEAST_THINKING, tokens // 2)))


def _read_request(members: Members, tools: set[str]) -> Steps[bool]:
    """Collects the tools; returns whether a part has a member that is removed."""
    held = yield from walk(Family.GOOGLE, members, _ROOTS, _judge)
    tools |= yield from tools_in_gemini(members.raws.get("tools"), members.objects)
    return held


def _judge(_root: str, place: str, part: Part) -> None:
    if place in _FILES:
        for name in _URIS:
            if name in part and given(part[name]):
                refuse_kept(part[name], "fileData", whole=True)


def _refuse_spellings(members: Members, spellings: tuple[tuple[str, str], ...]) -> None:
    for camel, snake in spellings:
        if camel in members.raws and snake in members.raws:
            raise Refusal("invalid_request", _TWICE, camel)


def _read_variant(members: Members) -> Variant:
    named = members.text("serviceTier", "service_tier")
    if named is None:
        return _STANDARD
    return Variant(tier=_TIERS.get(named.lower().removeprefix("service_tier_"), ServiceTier.OTHER))


def _edit_requests(edits: Edits, target: Target) -> Steps[None]:
    value = edits.value("requests")
    if value is None:
        return
    edited: list[bytes] = []
    whole = msgspec.Raw(value)
    for raw in values(whole) if is_list(whole) else (whole,):
        text = bytes(raw)
        members = read_object(text)
        if members is None:
            return
        inner = Edits(text, members.spans)
        inner.put("model", quoted(f"models/{target.model}"))
        edited.append(inner.build())
        if len(edited) % STEP_ELEMENTS == 0:
            yield
    if edited:
        edits.replace("requests", b"[" + b",".join(edited) + b"]")


GENERATE: Final = Gemini(Operation.GEMINI_GENERATE, "generateContent", billed=True, generates=True)
STREAM: Final = Gemini(Operation.GEMINI_STREAM, "streamGenerateContent", billed=True, generates=True)
COUNT_TOKENS: Final = Gemini(Operation.GEMINI_COUNT_TOKENS, "countTokens", billed=False, generates=False)
EMBED: Final = Gemini(Operation.GEMINI_EMBED, "embedContent", billed=True, generates=False)
BATCH_EMBED: Final = Gemini(Operation.GEMINI_BATCH_EMBED, "batchEmbedContents", billed=True, generates=False)
