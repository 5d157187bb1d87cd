"""Recognises engines on the user's own machine, and lists the models that they run themselves.

How each engine is recognised, on any port:

* Ollama answers ``GET /api/version``; its models are in ``GET /api/tags``, where a model that runs
  in its cloud has ``remote_host`` and ``remote_model`` (as in ``POST /api/show``). A name with
  the tag ``cloud`` or a tag that ends in ``-cloud`` means the cloud even if it is not listed.
  https://docs.ollama.com/api https://docs.ollama.com/cloud
* llama.cpp's server, vLLM and LM Studio list their models at ``GET /v1/models``, each engine with its own
  ``owned_by``.

An entry that cannot be read does not count as a model, so nothing is sent to it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

MOST_MODELS: Final = 10_000


class EngineKind(StrEnum):
    OLLAMA = "ollama"
    LLAMA_CPP = "llama.cpp"
    LM_STUDIO = "lmstudio"
    VLLM = "vllm"
    OTHER = "openai-compatible"


PORTS: Final = {
    EngineKind.OLLAMA: 11434,
    EngineKind.LLAMA_CPP: 8080,
    EngineKind.LM_STUDIO: 1234,
    EngineKind.VLLM: 8000,
}
"""The default port of each engine."""

STRING_CHOICES: Final = frozenset((EngineKind.OLLAMA, EngineKind.LLAMA_CPP, EngineKind.LM_STUDIO))
"""Engines that support only a string as the tool choice: LM Studio refuses a choice that names a tool, llama.cpp and
Ollama silently read it as ``auto``. https://lmstudio.ai/docs/developer/openai-compat/tools
https://github.com/ggml-org/llama.cpp/blob/master/docs/function-calling.md"""

_OWNERS: Final = {
    "llamacpp": EngineKind.LLAMA_CPP,
    "organization_owner": EngineKind.LM_STUDIO,
    "vllm": EngineKind.VLLM,
}


class _Tag(msgspec.Struct):
    name: str
    model: str = ""
    remote_host: Any = None
    remote_model: Any = None


class _Tags(msgspec.Struct):
    models: list[_Tag] | None


class _Version(msgspec.Struct):
    version: str


class _Model(msgspec.Struct):
    id: str
    owned_by: str = ""


class _Models(msgspec.Struct):
    data: list[_Model]
    object: str = ""


class _Shown(msgspec.Struct):
    details: Any
    remote_host: Any = None
    remote_model: Any = None


def is_ollama(version: bytes) -> bool:
    """Whether this is an answer to ``GET /api/version``."""
    try:
        return bool(msgspec.json.decode(version, type=_Version).version)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def read_tags(body: bytes) -> tuple[tuple[str, ...], frozenset[str]] | None:
    """The names in Ollama's ``GET /api/tags``: models that run here, and models that run in Ollama's cloud."""
    try:
        tags = msgspec.json.decode(body, type=_Tags).models or []
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    cloud = frozenset(tag.name for tag in tags if tag.remote_host or tag.remote_model or names_cloud(tag.name))
    return tuple(tag.name for tag in tags[:MOST_MODELS] if tag.name not in cloud), cloud


def runs_here(shown: bytes) -> bool:
    """Whether Ollama's ``POST /api/show`` says that the model runs on this machine; false in doubt."""
    try:
        found = msgspec.json.decode(shown, type=_Shown)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return not found.remote_host and not found.remote_model


def read_models(body: bytes) -> tuple[tuple[str, ...], EngineKind] | None:
    """The names in ``GET /v1/models``, and the engine; None if it is not such a list."""
    try:
        models = msgspec.json.decode(body, type=_Models).data
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    kind = next((_OWNERS[model.owned_by] for model in models if model.owned_by in _OWNERS), EngineKind.OTHER)
    return tuple(model.id for model in models[:MOST_MODELS] if not names_cloud(model.id)), kind


def names_cloud(name: str) -> bool:
    """Whether a name asks an engine to use its cloud: the tag ``cloud`` or one that ends in ``-cloud``."""
    _, colon, tag = name.strip().lower().rpartition(":")
    tag = tag.strip()
    return bool(colon) and (tag == "cloud" or (tag.endswith("-cloud") and "/" not in tag))


def has_endpoint(status: int, body: bytes) -> bool:
    """Whether the answer to an empty request shows that the engine has the path.

    The engine must refuse it because members are missing; LM Studio answers unknown paths with 200 and an error.
    """
    return 400 <= status < 600 and status not in {401, 403, 404, 405, 501} and b"Unexpected endpoint" not in body
