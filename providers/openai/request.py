"""The request side that OpenAI's APIs share: what identifies the caller, and what would be stored.

`providers.members.openai` decides what else is removed or replaced.
"""

from __future__ import annotations

from typing import Final

import msgspec

from metering.usage import STANDARD, ServiceTier, Variant
from providers.dialect import Family, Head, Operation, Refusal, Target
from providers.document.addresses import refuse_kept
from providers.document.members import Members, is_object, is_string, says_something, word
from providers.document.objects import Part
from providers.document.splice import Edits
from providers.document.strings import quoted
from providers.members import register
from providers.steps import Steps
from providers.tools.removal import remove_tools

CACHING: Final = frozenset((Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT))
"""The operations whose prompts are cached, and which have the members that control the cache."""

_STORING: Final = frozenset((Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES))
_CACHE_KEY: Final = "prompt_cache_key"
_CACHE_OPTIONS: Final = "prompt_cache_options"

# https://developers.openai.com/api/docs/api-reference/chat/create: "auto" uses the project's setting.
_TIERS: Final = {
    "auto": ServiceTier.STANDARD,
    "default": ServiceTier.STANDARD,
    "flex": ServiceTier.FLEX,
    "priority": ServiceTier.PRIORITY,
    "fast": ServiceTier.PRIORITY,
    "scale": ServiceTier.PROVISIONED,
}

FILE_ID: Final = "A file id names a file kept at the provider, which is not served: send the file's data instead."
_CONTAINER: Final = "Containers are kept at the provider: let the tool make its own (type auto)."
# A larger container costs up to 64 times as much: https://developers.openai.com/api/docs/pricing (containers)
_MEMORY: Final = "Containers of this size have no price here: leave out memory_limit, or set it to 1g."
_USUAL_MEMORY: Final = frozenset((b"null", b'"1g"'))
_OF_TOOLS: Final = frozenset(("tools", "container", "environment", "input_image_mask"))
_ADDRESSES: Final = frozenset(("image_url", "file_url", "audio_url", "video_url", "document_url"))
_DECIDED: Final = frozenset(("file_id", "file_ids", "memory_limit", "container", "url")) | _ADDRESSES


def judge_part(root: str, place: str, part: Part) -> None:
    """Refuse an object in messages, items or tools that names something kept at the provider.

    Raises:
        Refusal: ``privacy_unsupported``; ``unsupported_feature`` for a container without a price.
    """
    decided = part.keys() & _DECIDED
    if not decided:
        return
    param = "tools" if place in _OF_TOOLS else root
    for name in decided:
        raw = part[name]
        if name in ("file_id", "file_ids"):
            if says_something(raw):
                raise Refusal("privacy_unsupported", FILE_ID, param)
        elif name == "memory_limit":
            if word(raw) not in _USUAL_MEMORY:
                raise Refusal("unsupported_feature", _MEMORY, param)
        elif name == "container":
            if is_string(raw):
                raise Refusal("privacy_unsupported", _CONTAINER, param)
        elif name in _ADDRESSES or place in _ADDRESSES:
            refuse_kept(raw, param, whole=False)


def read_variant(members: Members) -> Variant:
    """The service tier that the request asks for."""
    if "service_tier" not in members.raws:
        return STANDARD
    named = members.text("service_tier")
    return STANDARD if named is None else Variant(tier=_TIERS.get(named, ServiceTier.OTHER))


def edit_common(edits: Edits, head: Head, target: Target, operation: Operation) -> Steps[None]:
    """The edits of every OpenAI operation.

    ``store`` is set to false if the operation and the host know it, and removed otherwise.
    """
    if target.alias:
        edits.replace("model", quoted(target.model))
    yield from register.edit(edits, Family.OPENAI, head.found, target)
    if head.removed_tools:
        yield from remove_tools(edits, Family.OPENAI, head.removed_tools)
    caches, stores = operation in CACHING, operation in _STORING
    if caches and target.isolate and target.pseudonym and _CACHE_KEY not in head.found.cache_keys:
        edits.put(_CACHE_KEY, quoted(target.pseudonym))
    if caches and target.uncached:
        _leave_uncached(edits)
    if stores and target.store:
        edits.put("store", b"false")
    else:
        edits.remove("store")


def _leave_uncached(edits: Edits) -> None:
    """Switch the cache to explicit markers; the request has none, so nothing is cached."""
    options = edits.current(_CACHE_OPTIONS)
    if options is not None and is_object(msgspec.Raw(options)):
        edits.edit_object(_CACHE_OPTIONS, lambda inner: inner.put("mode", b'"explicit"'))
    else:
        edits.put(_CACHE_OPTIONS, b'{"mode":"explicit"}')


def edit_usage_switch(edits: Edits, head: Head, target: Target) -> None:
    """Ask for the usage chunk of a stream, and keep the other ``stream_options``."""
    if not (head.stream and target.include_usage and not head.wants_usage):
        return
    if "stream_options" not in edits:
        edits.insert("stream_options", b'{"include_usage":true}')
    elif edits.is_null("stream_options"):
        edits.replace("stream_options", b'{"include_usage":true}')
    else:
        edits.edit_object("stream_options", lambda inner: inner.put("include_usage", b"true"))
