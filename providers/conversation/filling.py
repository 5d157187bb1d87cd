"""Completions for a host that fills in the middle at an endpoint of its own, and answers in the form of chat.

Mistral's ``/v1/fim/completions`` takes a prompt and a suffix like ``/v1/completions``, refuses members that it does not
know, calls the seed otherwise, and answers with chat completions and their chunks
(https://docs.mistral.ai/api/endpoint/fim). Other hosts take ``suffix`` at ``/v1/completions`` itself (Ollama, DeepSeek
at its beta address), or refuse it in their own words (vLLM, llama.cpp).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from providers.conversation.reading import read_form
from providers.conversation.translator import StreamTranslator
from providers.dialect import Refusal
from providers.document.members import given
from providers.openai.chat_reader import ChatEvents
from providers.openai.completion_writer import CompletionWriter, write_text_completion

_FORM: Final = "The request does not have the form of completions."
_PROMPT: Final = "The host of this model completes one text: make the prompt a string."
_MORE: Final = "The host of this model gives one completion, without its prompt and probabilities: leave this out."
_UNSTATED_OUTPUT: Final = 16  # of OpenAI's API; the host's own default is the whole context
_TAKEN: Final = ("prompt", "suffix", "temperature", "top_p", "max_tokens", "min_tokens", "stop", "stream")
_RENAMED: Final = {"seed": "random_seed"}
_SINGLE: Final = {"n": (b"1",), "best_of": (b"1",), "echo": (b"false",), "logprobs": ()}
"""Members that shape the answer, and the values with which they say nothing."""
DROPPED: Final = (
    "presence_penalty", "frequency_penalty", "logit_bias", "user", "stream_options", "service_tier", "store",
)  # fmt: skip
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode


def prepare_filling(body: bytes, *, members: Iterable[str], model: str) -> tuple[bytes, tuple[str, ...]]:
    """The host's request for a completion, and the caller's members that it is not told.

    Args:
        body: As the caller sent it.
        members: What it has at its top level.
        model: The host's name of the model.

    Raises:
        Refusal: The request has another form, or says what the host can't; ``param`` is the caller's member.
    """
    written = read_form(_members, body, _FORM, lambda asked: _written(asked, model))
    return written, tuple(sorted(set(DROPPED).intersection(members)))


def translate_filling(body: bytes, *, model: str, identity: str) -> bytes | None:
    """The caller's completion for the host's whole answer; None if it has failed.

    Args:
        body: The host's.
        model: The model as the caller named it.
        identity: The id of the answer.
    """
    return write_text_completion(ChatEvents().whole(body), identity, model)


def filling_stream(*, model: str, identity: str, wants_usage: bool) -> StreamTranslator:
    """A fresh translator for a streamed answer; ``wants_usage``: the caller asked for the usage chunk."""
    return StreamTranslator(ChatEvents(), CompletionWriter(identity, model, wants_usage=wants_usage), sse=True)


def _written(asked: dict[str, msgspec.Raw], model: str) -> bytes:
    for name, silent in _SINGLE.items():
        if name in asked and given(asked[name]) and bytes(asked[name]) not in silent:
            raise Refusal("unsupported_feature", _MORE, name)
    if "prompt" not in asked or not bytes(asked["prompt"]).startswith(b'"'):
        raise Refusal("unsupported_feature", _PROMPT, "prompt")
    written: dict[str, Any] = {"model": model, "max_tokens": _UNSTATED_OUTPUT}
    written |= {name: asked[name] for name in _TAKEN if name in asked and given(asked[name])}
    written |= {new: asked[old] for old, new in _RENAMED.items() if old in asked and given(asked[old])}
    return _encode(written)
