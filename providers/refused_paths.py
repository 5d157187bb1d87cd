"""Paths of the providers' APIs that are known and not served, each with the reason and how to fix the request.

``privacy_unsupported`` marks paths that would make the provider keep content beyond the request;
``unsupported_feature`` marks those that are only not offered here. A path is listed by its first segment after
the version (``/files``), by two if the first is served (``/messages/batches``), by the prefix
in the place of the version (``/upload``) or, for Google, by its verb (``:batchGenerateContent``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from providers.dialect import Family


class Why(NamedTuple):
    """A refusal's machine code and its message."""

    code: str
    message: str


def _private(message: str) -> Why:
    return Why("privacy_unsupported", message)


def _unsupported(message: str) -> Why:
    return Why("unsupported_feature", message)


_FILES: Final = _private("Files are kept at the provider and are not served: send the data inside the request.")
_BATCHES: Final = _private("Batches are kept at the provider and are not served: send single requests.")
_STATE: Final = _private(
    "Conversations are kept at the provider and are not served: resend the items with each request."
)
_STORED: Final = _private("Responses are not stored and cannot be fetched: keep the answer and resend its items.")
_CHATS: Final = _private("Completions are not stored and cannot be fetched: keep the answer in the client.")
_AGENTS: Final = _private(
    "Agents and assistants that live at the provider are not served: run the agent in the client."
)
_SEARCH: Final = _private("Stores for search are kept at the provider and are not served: search in the client.")
_TUNING: Final = _private("Training data is kept at the provider and is not served: name a model of the list.")
_CONTAINERS: Final = _private("Containers keep files at the provider and are not served: run the code in the client.")
_SKILLS: Final = _private("Skills are kept at the provider and are not served: put their text into the prompt.")
_EVALS: Final = _private("Evaluations keep data at the provider and are not served: run them in the client.")
_CACHES: Final = _private("Cached contents are kept at the provider and are not served: resend the contents.")
_LIVE: Final = _private("Live sessions are kept at the provider and are not served: use streamGenerateContent.")
_INTERACTIONS: Final = _private("Interactions are kept at the provider and are not served: use generateContent.")
_VAULTS: Final = _private("Secrets kept at the provider are not served: run the tools in the client.")

_REALTIME: Final = _unsupported("Realtime sessions are not served: use /v1/responses or /v1/chat/completions.")
_IMAGES: Final = _unsupported("Making images is not served: use a text model of the list.")
_AUDIO: Final = _unsupported("Speech and transcription are not served: use a text model of the list.")
_VIDEOS: Final = _unsupported("Making videos is not served: use a text model of the list.")
_MODERATION: Final = _unsupported("Moderation is not served: the models' own refusals pass through.")
_ADMIN: Final = _unsupported("The provider's account is not administered here: see /v1/account for your own.")
_LEGACY: Final = _unsupported("This API has ended: use /v1/messages instead.")
_PALM: Final = _unsupported("This API has ended: use generateContent instead.")
_PREDICT: Final = _unsupported("Prediction is not served: use generateContent or embedContent.")
_TRACES: Final = _private("Traces hold content and are not collected: switch tracing off in the client.")
_COMPATIBLE: Final = _unsupported("Google's compatible endpoint is not served here: use /v1/chat/completions.")

REFUSED: Final[Mapping[Family, Mapping[str, Why]]] = {
    Family.OPENAI: {
        "/files": _FILES,
        "/uploads": _FILES,
        "/batches": _BATCHES,
        "/assistants": _AGENTS,
        "/agents": _AGENTS,
        "/chatkit": _AGENTS,
        "/threads": _STATE,
        "/conversations": _STATE,
        "/responses": _STORED,
        "/chat/completions": _CHATS,
        "/vector_stores": _SEARCH,
        "/fine_tuning": _TUNING,
        "/fine-tunes": _TUNING,
        "/containers": _CONTAINERS,
        "/skills": _SKILLS,
        "/evals": _EVALS,
        "/traces": _TRACES,
        "/vaults": _VAULTS,
        "/realtime": _REALTIME,
        "/live": _REALTIME,
        "/images": _IMAGES,
        "/audio": _AUDIO,
        "/videos": _VIDEOS,
        "/moderations": _MODERATION,
        "/organization": _ADMIN,
        "/projects": _ADMIN,
        "/v1beta/openai": _COMPATIBLE,
        "/complete": _LEGACY,
    },
    Family.ANTHROPIC: {
        "/messages/batches": _BATCHES,
        "/files": _FILES,
        "/skills": _SKILLS,
        "/containers": _CONTAINERS,
        "/agents": _AGENTS,
        "/deployments": _AGENTS,
        "/deployment_runs": _AGENTS,
        "/environments": _CONTAINERS,
        "/sessions": _STATE,
        "/threads": _STATE,
        "/memory_stores": _AGENTS,
        "/dreams": _AGENTS,
        "/vaults": _VAULTS,
        "/user_profiles": _private("Profiles of people are not kept at the provider: leave them out."),
        "/tunnels": _AGENTS,
        "/organizations": _ADMIN,
        "/complete": _LEGACY,
    },
    Family.GOOGLE: {
        "/cachedContents": _CACHES,
        "/files": _FILES,
        "/upload": _FILES,
        "/media": _FILES,
        "/interactions": _INTERACTIONS,
        "/agents": _AGENTS,
        "/fileSearchStores": _SEARCH,
        "/corpora": _SEARCH,
        "/ragStores": _SEARCH,
        "/batches": _BATCHES,
        "/tunedModels": _TUNING,
        "/tuningJobs": _TUNING,
        "/dynamic": _TUNING,
        "/operations": _BATCHES,
        "/ws": _LIVE,
        "/auth_tokens": _LIVE,
        "/authTokens": _LIVE,
        "/generatedFiles": _FILES,
        ":batchGenerateContent": _BATCHES,
        ":asyncBatchEmbedContent": _BATCHES,
        ":bidiGenerateContent": _LIVE,
        ":predict": _PREDICT,
        ":predictLongRunning": _VIDEOS,
        ":generateAnswer": _PALM,
        ":generateMessage": _PALM,
        ":generateText": _PALM,
        ":embedText": _PALM,
        ":batchEmbedText": _PALM,
        ":countTextTokens": _PALM,
        ":countMessageTokens": _PALM,
    },
}
