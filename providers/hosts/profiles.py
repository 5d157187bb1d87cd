"""How hosts that offer OpenAI's API differ from it: ``[providers.NAME] profile``.

A profile is the default of a provider's own settings, which override it one by one. It follows the host's
documentation of November 2026. What that does not say has the cautious value, with which a member is left out:
``store`` at Moonshot and Ollama, ``include_usage`` at Zhipu, the newer output limit at LM Studio.

* OpenRouter: https://openrouter.ai/docs/api-reference/overview, https://openrouter.ai/docs/api-reference/responses-api-beta
  (without state: ``store`` is not taken)
* Groq: https://console.groq.com/docs/openai (no text completions), https://console.groq.com/docs/responses-api
  (``store`` is not supported)
* Mistral: https://docs.mistral.ai/api/ (an unknown member is refused with 422, among them ``store``,
  ``stream_options.include_usage`` and ``max_completion_tokens``; a stream always ends with its usage). Its endpoint for
  fill-in-the-middle, ``/v1/fim/completions``, answers in the form of chat completions.
* DeepSeek: https://api-docs.deepseek.com, https://api-docs.deepseek.com/guides/fim_completion (at ``/beta``)
* xAI: https://docs.x.ai/developers/model-capabilities/text/comparison (Responses are stored unless ``store`` is false)
* Moonshot: https://platform.kimi.ai/docs/api/chat (``max_tokens`` is deprecated)
* Zhipu: https://docs.z.ai/api-reference/llm/chat-completion (only ``max_tokens``; a stream always ends with its usage)
* vLLM: https://docs.vllm.ai/en/stable/serving/openai_compatible_server/ (``suffix`` is not supported)
* Ollama: https://docs.ollama.com/api/openai-compatibility (Responses without state; ``suffix`` is supported)
* LM Studio: https://lmstudio.ai/docs/developer/openai-compat
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from providers.dialect import Family, Operation

_CHAT: Final = Operation.OPENAI_CHAT
_RESPONSES: Final = Operation.OPENAI_RESPONSES
_COMPLETIONS: Final = Operation.OPENAI_COMPLETIONS
_EMBEDDINGS: Final = Operation.OPENAI_EMBEDDINGS

RESPONSES: Final = frozenset((_RESPONSES, Operation.OPENAI_COMPACT, Operation.OPENAI_INPUT_TOKENS))
"""The operations of the Responses API: the setting ``responses``."""


class ProfileName(StrEnum):
    OPENROUTER = "openrouter"
    GROQ = "groq"
    MISTRAL = "mistral"
    DEEPSEEK = "deepseek"
    XAI = "xai"
    MOONSHOT = "moonshot"
    ZHIPU = "zhipu"
    VLLM = "vllm"
    OLLAMA = "ollama"
    LM_STUDIO = "lm_studio"


@dataclass(frozen=True, slots=True)
class Profile:
    """What one host's documentation says.

    Attributes:
        base_url: Where it is; an engine on the operator's own machine is at its usual port.
        operations: What it serves.
        store: It knows OpenAI's ``store`` member.
        include_usage: It knows ``stream_options.include_usage``.
        completion_limit: It knows ``max_completion_tokens``; otherwise the limit is called ``max_tokens``.
        paths: Operations that are at another path than OpenAI's.
    """

    base_url: str
    operations: frozenset[Operation]
    store: bool
    include_usage: bool
    completion_limit: bool
    paths: Mapping[Operation, str] = field(default_factory=dict)


PROFILES: Final[Mapping[ProfileName, Profile]] = MappingProxyType(
    {
        ProfileName.OPENROUTER: Profile(
            "https://openrouter.ai/api/v1",
            frozenset((_CHAT, _RESPONSES, _COMPLETIONS, _EMBEDDINGS)),
            store=False,
            include_usage=True,
            completion_limit=True,
        ),
        ProfileName.GROQ: Profile(
            "https://api.groq.com/openai/v1",
            frozenset((_CHAT, _RESPONSES)),
            store=False,
            include_usage=True,
            completion_limit=True,
        ),
        ProfileName.MISTRAL: Profile(
            "https://api.mistral.ai/v1",
            frozenset((_CHAT, Operation.OPENAI_FILL_IN, _EMBEDDINGS)),
            store=False,
            include_usage=False,
            completion_limit=False,
        ),
        ProfileName.DEEPSEEK: Profile(
            "https://api.deepseek.com",
            frozenset((_CHAT, _COMPLETIONS)),
            store=False,
            include_usage=True,
            completion_limit=False,
            paths=MappingProxyType({_COMPLETIONS: "/beta/completions"}),
        ),
        ProfileName.XAI: Profile(
            "https://api.x.ai/v1",
            frozenset((_CHAT, _RESPONSES)),
            store=True,
            include_usage=True,
            completion_limit=True,
        ),
        ProfileName.MOONSHOT: Profile(
            "https://api.moonshot.ai/v1",
            frozenset((_CHAT,)),
            store=False,
            include_usage=True,
            completion_limit=True,
        ),
        ProfileName.ZHIPU: Profile(
            "https://api.z.ai/api/paas/v4",
            frozenset((_CHAT, _EMBEDDINGS)),
            store=False,
            include_usage=False,
            completion_limit=False,
        ),
        ProfileName.VLLM: Profile(
            "http://127.0.0.1:8000/v1",
            frozenset((_CHAT, _RESPONSES, _COMPLETIONS, _EMBEDDINGS)),
            store=True,
            include_usage=True,
            completion_limit=True,
        ),
        ProfileName.OLLAMA: Profile(
            "http://127.0.0.1:11434/v1",
            frozenset((_CHAT, _RESPONSES, _COMPLETIONS, _EMBEDDINGS)),
            store=False,
            include_usage=True,
            completion_limit=False,
        ),
        ProfileName.LM_STUDIO: Profile(
            "http://127.0.0.1:1234/v1",
            frozenset((_CHAT, _RESPONSES, _COMPLETIONS, _EMBEDDINGS)),
            store=True,
            include_usage=True,
            completion_limit=False,
        ),
    }
)


def openai_operations(known: frozenset[Operation] | None, *, responses: bool | None) -> frozenset[Operation] | None:
    """What a host of OpenAI's API serves; ``None`` if nothing is known of it, so that everything is tried.

    Args:
        known: What its documentation says.
        responses: What the operator states about the Responses API; ``None`` is nothing.
    """
    if responses is None:
        return known
    if known is None:
        known = frozenset(operation for operation in Operation if operation.family is Family.OPENAI)
    return known | {_RESPONSES} if responses else known - RESPONSES
