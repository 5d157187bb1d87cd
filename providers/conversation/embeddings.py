"""Embeddings between OpenAI's API and Google's: texts there, vectors back, in the caller's order.

A vector's numbers keep their bytes, unless one side has them as base64 (little-endian floats of 32 bits). The purpose
of a text (its task, its title) has no place in OpenAI's API and is dropped by name; tokens in place of a text, and
input other than text, are refused.

https://developers.openai.com/api/docs/api-reference/embeddings/create, https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from providers.answers.counts import count, member
from providers.conversation.reading import UNREADABLE_JSON, read_form
from providers.dialect import Family, Operation, Refusal

EMBEDDING: Final = frozenset((Operation.OPENAI_EMBEDDINGS, Operation.GEMINI_EMBED, Operation.GEMINI_BATCH_EMBED))
"""The operations that embed texts."""

EMBEDDERS: Final[Mapping[Family, Operation]] = {
    Family.OPENAI: Operation.OPENAI_EMBEDDINGS,
    Family.GOOGLE: Operation.GEMINI_BATCH_EMBED,
}
"""What a provider of each API is asked for, if it has embeddings."""

_FORM: Final = "The request does not have the form of the embeddings API."
_TOKENS: Final = (
    "The model of this request is served through another API, and the tokens of another model have other numbers: send "
    "texts."
)
_TEXTS: Final = "The model of this request is served through another API, which embeds texts only: leave the rest out."
_SIZES: Final = (
    "The model of this request is served through another API, with one number of dimensions for all texts: make "
    "outputDimensionality the same in all requests."
)
_ENCODING: Final = "The encoding_format is float or base64."
_HINTS: Final = (
    *("taskType", "title", "autoTruncate", "documentOcr", "audioTrackExtraction", "mimeType"),
    *("embedContentConfig", "labels", "store"),
)
"""Members of Google's requests that OpenAI's API does not have."""

DROPPED: Final = ("user", *_HINTS, *(f"requests.{name}" for name in _HINTS))
"""What a translation may drop."""


class _OpenAI(msgspec.Struct):
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


class _Datum(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _OpenAIAnswer(msgspec.Struct):
    data: list[_Datum]
    usage: Any = None


class _Vector(msgspec.Struct):
    values: msgspec.Raw


class _GoogleAnswer(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector] | None = None
    embedding: _Vector | None = None
    usage_metadata: Any = None


_openai: Final = msgspec.json.Decoder(_OpenAI)
_google: Final = msgspec.json.Decoder(dict[str, Any])
_openai_answer: Final = msgspec.json.Decoder(_OpenAIAnswer)
_google_answer: Final = msgspec.json.Decoder(_GoogleAnswer)
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, repr=False)
class PreparedEmbeddings:
    """One request for embeddings as its provider will read it.

    Attributes:
        body: For the provider.
        dropped: The caller's members that the provider is not told.
        texts: How many vectors must come back.
        base64: The caller wants them as base64.
    """

    body: bytes
    dropped: tuple[str, ...]
    texts: int
    base64: bool = False


def prepare_embeddings(
    source: Operation, target: Operation, body: bytes, *, members: Iterable[str], model: str
) -> PreparedEmbeddings:
    """Translate a request for embeddings.

    Args:
        source: What the caller asked for, one of `EMBEDDING`.
        target: What the provider is asked for, one of `EMBEDDERS`.
        body: As the caller sent it.
        members: What the request has at its top level.
        model: The provider's name of the model.

    Raises:
        Refusal: The request has another form, or says what can't be told; ``param`` is the caller's member.
    """
    if source is Operation.OPENAI_EMBEDDINGS:
        texts, dimensions, base64, dropped = read_form(_openai, body, _FORM, lambda asked: _read_openai(asked, members))
    else:
        texts, dimensions, dropped = read_form(_google, body, _FORM, lambda asked: _read_google(asked, source))
        base64 = False
    if target is Operation.OPENAI_EMBEDDINGS:
        asked: dict[str, Any] = {"model": model, "input": texts, "encoding_format": "float"}
        written = asked if dimensions is None else asked | {"dimensions": dimensions}
    else:
        written = {"requests": [_request(text, model, dimensions) for text in texts]}
    return PreparedEmbeddings(_encode(written), dropped, len(texts), base64)


def translate_embeddings(
    source: Operation, target: Operation, body: bytes, *, texts: int, base64: bool, model: str, estimate: int
) -> bytes | None:
    """The caller's answer for the provider's whole answer; None if that lacks a vector for a text.

    Args:
        source: What the caller asked for.
        target: What the provider was asked for.
        body: The provider's answer.
        texts: Of `PreparedEmbeddings`, as is ``base64``.
        base64: The same.
        model: The model as the caller named it.
        estimate: The tokens of the input, for an API that always has a count and a provider that states none.
    """
    try:
        vectors, tokens = _READERS[target](body)
        if len(vectors) != texts:
            return None
        if source is Operation.OPENAI_EMBEDDINGS:
            held = [_packed(vector) if base64 else _listed(vector) for vector in vectors]
            return _openai_body(held, model, estimate if tokens is None else tokens)
        found = [{"values": _listed(vector)} for vector in vectors]
    except (*UNREADABLE_JSON, struct.error, OverflowError):
        return None
    shape: dict[str, Any] = {"embedding": found[0]} if source is Operation.GEMINI_EMBED else {"embeddings": found}
    return _encode(shape if tokens is None else shape | {"usageMetadata": {"promptTokenCount": tokens}})


def _read_openai(asked: _OpenAI, members: Iterable[str]) -> tuple[list[str], int | None, bool, tuple[str, ...]]:
    if asked.encoding_format not in {None, "float", "base64"}:
        raise Refusal("invalid_request", _ENCODING, "encoding_format")
    given: list[Any] = [asked.input] if isinstance(asked.input, str) else asked.input
    texts = [text for text in given if isinstance(text, str)]
    if not given:
        raise Refusal("invalid_request", _FORM, "input")
    if len(texts) != len(given):
        raise Refusal("unsupported_feature", _TOKENS, "input")
    dropped = tuple(sorted({"user"}.intersection(members)))
    return texts, asked.dimensions, asked.encoding_format == "base64", dropped


def _read_google(asked: dict[str, Any], source: Operation) -> tuple[list[str], int | None, tuple[str, ...]]:
    several = source is Operation.GEMINI_BATCH_EMBED
    found = asked.get("requests") if several else asked
    requests = found if isinstance(found, list) else [found]
    sizes, dropped, texts = set[int | None](), set[str](), list[str]()
    for request in requests:
        if not isinstance(request, Mapping):
            raise Refusal("invalid_request", _FORM)
        texts.append(_text(_named(request, "content")))
        config = _named(request, "embedContentConfig")
        sizes.add(_dimensions(request, config if isinstance(config, Mapping) else {}))
        before = "requests." if several else ""
        dropped |= {before + name for name in _HINTS if _named(request, name) is not None}
    if not texts:
        raise Refusal("invalid_request", _FORM, "requests")
    if len(sizes) > 1:
        raise Refusal("unsupported_feature", _SIZES, "outputDimensionality")
    return texts, sizes.pop(), tuple(sorted(dropped))


def _named(held: Mapping[str, Any], name: str) -> Any:
    """The member in either spelling."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return held[name] if name in held else held.get(snake)


def _dimensions(request: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    stated = _named(request, "outputDimensionality")
    stated = _named(config, "outputDimensionality") if stated is None else stated
    if stated is not None and type(stated) is not int:
        raise Refusal("invalid_request", _FORM, "outputDimensionality")
    return stated


def _text(content: Any) -> str:
    """The text of a content, of which the API makes one vector."""
    if isinstance(content, str):
        return content
    parts = content.get("parts") if isinstance(content, Mapping) else None
    texts: list[str] = []
    for part in parts if isinstance(parts, list) else [parts]:
        if not isinstance(part, Mapping):
            raise Refusal("invalid_request", _FORM, "content")
        if not isinstance(part.get("text"), str):
            raise Refusal("unsupported_feature", _TEXTS, "content")
        texts.append(part["text"])
    return "\n\n".join(texts)


def _request(text: str, model: str, dimensions: int | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": f"models/{model}", "content": {"parts": [{"text": text}]}}
    return asked if dimensions is None else asked | {"outputDimensionality": dimensions}


def _read_openai_answer(body: bytes) -> tuple[list[msgspec.Raw], int | None]:
    answer = _openai_answer.decode(body)
    ordered = sorted(enumerate(answer.data), key=lambda one: one[0] if one[1].index is None else one[1].index)
    tokens = count(member(answer.usage, "prompt_tokens"))
    return [datum.embedding for _, datum in ordered], count(
        member(answer.usage, "total_tokens")
    ) if tokens is None else tokens


def _read_google_answer(body: bytes) -> tuple[list[msgspec.Raw], int | None]:
    answer = _google_answer.decode(body)
    found = answer.embeddings or ([answer.embedding] if answer.embedding is not None else [])
    return [vector.values for vector in found], count(member(answer.usage_metadata, "promptTokenCount"))


_READERS: Final = {
    Operation.OPENAI_EMBEDDINGS: _read_openai_answer,
    Operation.GEMINI_BATCH_EMBED: _read_google_answer,
}


def _listed(vector: msgspec.Raw) -> msgspec.Raw:
    """A vector, whose bytes are kept. It is a list of numbers, as was asked for: hosts that give base64 all the same
    differ in what it holds.
    """
    msgspec.json.decode(vector, type=list[float])
    return vector


def _packed(vector: msgspec.Raw) -> str:
    """A vector as base64."""
    numbers = msgspec.json.decode(vector, type=list[float])
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _openai_body(vectors: list[msgspec.Raw] | list[str | msgspec.Raw], model: str, tokens: int) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})
