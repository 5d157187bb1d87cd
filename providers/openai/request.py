"""What the OpenAI dialects have in common on the way to a provider: who asked, and what is stored.

What else is removed or replaced is decided in `providers.members.openai`.
"""

from __future__ import annotations

from typing import Final

from metering.usage import STANDARD, ServiceTier, Variant
from providers.dialect import Family, Head, Target
from providers.document.members import Members
from providers.document.splice import Edits
from providers.document.strings import quoted
from providers.members import register
from providers.steps import Steps

# https://developers.openai.com/api/docs/api-reference/chat/create: "auto" runs as the project is set.
_TIERS: Final = {
    "auto": ServiceTier.STANDARD,
    "default": ServiceTier.STANDARD,
    "flex": ServiceTier.FLEX,
    "priority": ServiceTier.PRIORITY,
    "fast": ServiceTier.PRIORITY,
    "scale": ServiceTier.PROVISIONED,
}


def read_variant(members: Members) -> Variant:
    """The service tier that the request asks for."""
    if "service_tier" not in members.raws:
        return STANDARD
    named = members.text("service_tier")
    return STANDARD if named is None else Variant(tier=_TIERS.get(named, ServiceTier.OTHER))


def edit_common(edits: Edits, head: Head, target: Target, *, stores: bool) -> Steps[None]:
    """The edits of every OpenAI operation.

    ``stores`` says that the operation generates, and so knows ``store`` and ``prompt_cache_key`` at all;
    ``store`` is forced to false if the host knows it too, and removed otherwise.
    """
    if target.alias:
        edits.replace("model", quoted(target.model))
    yield from register.edit(edits, Family.OPENAI, head.found, target)
    if stores and target.isolate and target.pseudonym:
        edits.put("prompt_cache_key", quoted(target.pseudonym))
    if stores and target.store:
        edits.put("store", b"false")
    else:
        edits.remove("store")


def edit_usage_switch(edits: Edits, head: Head, target: Target) -> None:
    """Ask for the usage chunk of a stream, keeping the other ``stream_options``."""
    if not (head.stream and target.include_usage and not head.wants_usage):
        return
    if "stream_options" not in edits:
        edits.insert("stream_options", b'{"include_usage":true}')
    elif edits.is_null("stream_options"):
        edits.replace("stream_options", b'{"include_usage":true}')
    else:
        edits.edit_object("stream_options", lambda inner: inner.put("include_usage", b"true"))
