"""What happens to each feature of a request in each dialect that a provider may speak: what translation acts on.

Rules that everything here obeys:

1. Every feature has a decision for every dialect; docs/translation.md is written from this table and from
   `providers.conversation.translated_members`, which says which member of which API is which feature.
2. What shapes the form of the answer that a client relies on (several choices, probabilities, stop sequences) is
   refused where it can't be said; what is a hint (a seed, a penalty, how far to cache) is dropped, and named to the
   caller.
3. `providers.conversation.fitting` looks every decision up here; a reader refuses only what the hub itself has no place
   for, which is refused in every dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from providers.conversation.conversation import Dialect


class Feature(StrEnum):
    """A closed name of what a request may say. Names may be labels of metrics."""

    MODEL = "model"
    STREAM = "stream"
    MESSAGES = "messages"
    INSTRUCTIONS = "instructions"
    IMAGES = "images"
    IMAGE_ADDRESSES = "image_addresses"
    IMAGE_DETAIL = "image_detail"
    DOCUMENTS = "documents"
    DOCUMENT_ADDRESSES = "document_addresses"
    AUDIO = "audio"
    VIDEO = "video"
    EARLIER_REASONING = "earlier_reasoning"
    FAILED_RESULTS = "failed_results"
    TOOLS = "tools"
    TOOL_GRAMMAR = "tool_grammar"
    STRICT_TOOLS = "strict_tools"
    TOOL_CHOICE = "tool_choice"
    PARALLEL_CALLS = "parallel_calls"
    OUTPUT_LIMIT = "output_limit"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    TOP_K = "top_k"
    SEED = "seed"
    PENALTIES = "penalties"
    STOP = "stop"
    JSON = "json"
    SCHEMA = "schema"
    EFFORT = "effort"
    BUDGET = "budget"
    SHOWN_REASONING = "shown_reasoning"
    VERBOSITY = "verbosity"
    CACHE = "cache"
    CHOICES = "choices"
    PROBABILITIES = "probabilities"
    OTHER_OUTPUT = "other_output"
    PROVIDER_TOOLS = "provider_tools"
    LEGACY_FUNCTIONS = "legacy_functions"
    STORED = "stored"
    IDENTITY = "identity"
    TIER = "tier"
    BIAS = "bias"
    PREDICTION = "prediction"
    SAFETY = "safety"
    CONTEXT = "context"
    HOST_OPTION = "host_option"


class Handling(StrEnum):
    """What happens to a feature. The values are what docs/translation.md shows."""

    MAPPED = "mapped"
    CARRIED = "carried"  # verbatim, for its own provider
    DROPPED = "dropped"
    REFUSED = "refused"


class Fate(NamedTuple):
    """``note``: how it is mapped; why it is dropped; of a refusal, the sentence for the caller, with the fix."""

    handling: Handling
    note: str = ""


_MAPPED: Final = Fate(Handling.MAPPED)


def _mapped(note: str) -> Fate:
    return Fate(Handling.MAPPED, note)


def _dropped(note: str = "the API has no member for it") -> Fate:
    return Fate(Handling.DROPPED, note)


def _refused(note: str) -> Fate:
    return Fate(Handling.REFUSED, note)


def _row(
    chat: Fate = _MAPPED, responses: Fate = _MAPPED, messages: Fate = _MAPPED, gemini: Fate = _MAPPED
) -> dict[Dialect, Fate]:
    return {
        Dialect.CHAT: chat,
        Dialect.RESPONSES: responses,
        Dialect.MESSAGES: messages,
        Dialect.GEMINI: gemini,
    }


def _all(fate: Fate) -> dict[Dialect, Fate]:
    return _row(fate, fate, fate, fate)


_OTHER: Final = "The model of this request is served through another API, "
_AUTOMATIC: Final = _mapped("prompts are cached without being asked")
_JOINED: Final = _mapped("those among the turns join the system prompt, in their order")
_OWN: Final = Fate(
    Handling.CARRIED, "with the provider's own signature; other thoughts are dropped, as they are refused"
)
_FIT: Final = _mapped("to the nearest effort: low up to 4,096 tokens, medium up to 16,384, high above")
_NO_ADDRESS: Final = _refused(f"{_OTHER}which fetches nothing from this kind of address: send the data itself.")
_ONE_ANSWER: Final = _refused(f"{_OTHER}with one answer: leave out the number of choices.")
_NO_VIDEO: Final = _refused(f"{_OTHER}which takes no video: leave it out, or send single images.")
_NO_AUDIO: Final = _refused(f"{_OTHER}which takes no sound: leave it out, or send its text.")

FEATURES: Final[Mapping[Feature, Mapping[Dialect, Fate]]] = {
    Feature.MODEL: _all(_mapped("the catalog's name of the model at this provider")),
    Feature.STREAM: _all(_MAPPED),
    Feature.MESSAGES: _all(_mapped("turns and their parts; results of tools stand first in a turn")),
    Feature.INSTRUCTIONS: _row(messages=_JOINED, gemini=_JOINED),
    Feature.IMAGES: _row(
        chat=_mapped("those in results of tools follow as the user's"),
        messages=_mapped("JPEG, PNG, GIF and WebP; others are refused"),
    ),
    Feature.IMAGE_ADDRESSES: _row(gemini=_NO_ADDRESS),
    Feature.IMAGE_DETAIL: _row(messages=_dropped(), gemini=_dropped()),
    Feature.DOCUMENTS: _all(_mapped("PDF as a file; plain text as text")),
    Feature.DOCUMENT_ADDRESSES: _row(chat=_NO_ADDRESS, gemini=_NO_ADDRESS),
    Feature.AUDIO: _row(chat=_mapped("WAV and MP3; others are refused"), responses=_NO_AUDIO, messages=_NO_AUDIO),
    Feature.VIDEO: _row(chat=_NO_VIDEO, responses=_NO_VIDEO, messages=_NO_VIDEO),
    Feature.EARLIER_REASONING: _row(
        chat=_dropped("the API has no place for thoughts"), responses=_OWN, messages=_OWN, gemini=_OWN
    ),
    Feature.FAILED_RESULTS: _row(
        chat=_dropped("the text of a result says it"), responses=_dropped("the text of a result says it")
    ),
    Feature.TOOLS: _row(
        messages=_mapped("a free-form tool is a function with one text"),
        gemini=_mapped("a free-form tool is a function with one text"),
    ),
    Feature.TOOL_GRAMMAR: _row(messages=_dropped(), gemini=_dropped()),
    Feature.STRICT_TOOLS: _row(messages=_mapped("where the schema is closed, as the API demands"), gemini=_dropped()),
    Feature.TOOL_CHOICE: _row(),
    Feature.PARALLEL_CALLS: _row(gemini=_dropped()),
    Feature.OUTPUT_LIMIT: _row(messages=_mapped("the API requires one: the model's own where none is stated")),
    Feature.TEMPERATURE: _row(messages=_mapped("at most 1; dropped while the model thinks, as the API demands")),
    Feature.TOP_P: _row(messages=_mapped("dropped beside a temperature and while the model thinks")),
    Feature.TOP_K: _row(chat=_dropped(), responses=_dropped(), messages=_mapped("dropped while the model thinks")),
    Feature.SEED: _row(responses=_dropped(), messages=_dropped()),
    Feature.PENALTIES: _row(responses=_dropped(), messages=_dropped()),
    Feature.STOP: _row(
        chat=_mapped("at most four; more are refused"),
        responses=_mapped(
            "the answer is cut there, and what the model writes after it is counted; at most 16 of 256 characters, and "
            "not beside probabilities"
        ),
        gemini=_mapped("at most five; more are refused"),
    ),
    Feature.JSON: _row(messages=_dropped("the API has JSON of a schema only; the prompt asks for it")),
    Feature.SCHEMA: _row(
        chat=_mapped("strict where the schema is closed"), responses=_mapped("strict where the schema is closed")
    ),
    Feature.EFFORT: _row(
        messages=_mapped("adaptive thinking, or a budget for older models; none where a tool must be called"),
        gemini=_mapped("a level, or a budget for older models; max is xhigh"),
    ),
    Feature.BUDGET: _row(chat=_FIT, responses=_FIT, messages=_mapped("at least 1,024; below the output limit")),
    Feature.SHOWN_REASONING: _row(chat=_mapped("hosts that tell thoughts always do")),
    Feature.VERBOSITY: _row(messages=_dropped(), gemini=_dropped()),
    Feature.CACHE: _row(
        chat=_AUTOMATIC,
        responses=_AUTOMATIC,
        messages=_mapped("one mark that moves with the conversation"),
        gemini=_AUTOMATIC,
    ),
    Feature.CHOICES: _row(
        chat=_mapped("at most eight; more are refused"),
        responses=_ONE_ANSWER,
        messages=_ONE_ANSWER,
        gemini=_mapped("at most eight; more are refused"),
    ),
    Feature.PROBABILITIES: _row(
        responses=_mapped("asked for in `include`"),
        messages=_refused(f"{_OTHER}without probabilities of tokens: leave them out."),
    ),
    Feature.OTHER_OUTPUT: _all(_refused(f"{_OTHER}which answers in text: ask for text only.")),
    Feature.PROVIDER_TOOLS: _all(_refused(f"{_OTHER}which does not have this tool: leave it out.")),
    Feature.LEGACY_FUNCTIONS: _all(_refused(f"{_OTHER}which knows no functions: define tools instead.")),
    Feature.STORED: _all(_refused("Nothing is kept at a provider: send the items themselves.")),
    Feature.IDENTITY: _all(_dropped("names somebody or something at the provider that the request was written for")),
    Feature.TIER: _all(_dropped("a tier or a place of the provider that the request was written for")),
    Feature.BIAS: _all(_dropped("tokens of another model have other numbers")),
    Feature.PREDICTION: _all(_dropped("the answer is the same without it")),
    Feature.SAFETY: _all(_dropped("settings of filters that the other provider does not have")),
    Feature.CONTEXT: _all(_dropped("how the other provider would shorten the conversation")),
    Feature.HOST_OPTION: _all(_dropped("an option of one provider or host")),
}
