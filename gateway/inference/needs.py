"""What a request needs its model to be able to do, and which targets are stated to lack it.

Only what the operator or the maker's page states as missing counts (`gateway.catalog.capabilities`); where nothing is
stated the provider decides. Reasoning and caching are not here: they are hints, which providers ignore or judge
themselves.
"""

from __future__ import annotations

from typing import Final

from gateway.catalog.catalog import CatalogTarget
from gateway.config import Capability
from gateway.errors import IncapableModel
from gateway.names import Closed
from providers.dialect import Family, Head, Operation
from providers.measures import Kind

_OF_MEDIA: Final = {
    Kind.IMAGE: Capability.VISION,
    Kind.PDF: Capability.DOCUMENTS,
    Kind.AUDIO: Capability.AUDIO,
}
# In the order in which a request is refused for them.
_SAYS: Final = {
    Capability.VISION: "This model is stated to see no images: leave the images out, or choose a model with vision.",
    Capability.DOCUMENTS: (
        "This model is stated to read no documents: send their text, or choose a model that reads documents."
    ),
    Capability.AUDIO: "This model is stated to hear no audio: send a transcript, or choose a model that takes audio.",
    Capability.TOOLS: "This model is stated to call no tools: leave the tools out, or choose a model that calls them.",
    Capability.STRUCTURED_OUTPUT: (
        "This model is stated to give no answers of a schema: ask for the form in the prompt, or choose another model."
    ),
}
_RESPONSES: Final = frozenset((Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT, Operation.OPENAI_INPUT_TOKENS))


def needed(head: Head) -> frozenset[Capability]:
    """What a request needs."""
    weight = head.weight
    found = {_OF_MEDIA[medium.kind] for medium in weight.media if medium.kind in _OF_MEDIA}
    if weight.tools:
        found.add(Capability.TOOLS)
    if weight.schema.size:
        found.add(Capability.STRUCTURED_OUTPUT)
    return frozenset(found)


def capable(
    targets: tuple[CatalogTarget, ...], head: Head, asked: Operation, model: Closed
) -> tuple[CatalogTarget, ...]:
    """Those targets that are not stated to lack what a request needs, in order.

    Args:
        targets: Of one model; not empty.
        head: Of the request.
        asked: What the caller asks for, which names the member at fault.
        model: The model's own name, for the message.

    Raises:
        IncapableModel: There is none.
    """
    needs = needed(head)
    if not needs:
        return targets
    found = tuple(t for t in targets if not any(t.capabilities.get(need) is False for need in needs))
    if not found:
        first = targets[0].capabilities
        lacking = next((one for one in _SAYS if one in needs and first.get(one) is False), None)
        assert lacking is not None  # the first target is not among those found
        raise IncapableModel(_SAYS[lacking], model=model, param=_member(asked, lacking))
    return found


def _member(asked: Operation, lacking: Capability) -> str:
    """The member of the caller's request that needs it, by its documented name."""
    if lacking is Capability.TOOLS:
        return "tools"
    structured = lacking is Capability.STRUCTURED_OUTPUT
    match asked.family:
        case Family.ANTHROPIC:
            return "output_config" if structured else "messages"
        case Family.GOOGLE:
            return "generationConfig" if structured else "contents"
        case Family.OPENAI if asked in _RESPONSES:
            return "text" if structured else "input"
        case Family.OPENAI:
            return "response_format" if structured else "messages"
