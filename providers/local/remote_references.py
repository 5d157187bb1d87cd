"""Refuses requests that make an engine fetch something: an engine on the user's machine would do it.

Images, audio and files may come as data inside of the request and never as an address. What tools
are called with and what they return is text to the model and is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from providers.dialect import Family, Operation, Refusal

_REMOTE: Final = "In local mode nothing is fetched from the network: send the data inside of the request."
_OPENAI_CHAT: Final = ("image_url", "input_audio", "file", "video_url", "audio_url")


def refuse_remote_references(operation: Operation, body: bytes) -> None:
    """Refuse a request whose content is somewhere else.

    Raises:
        Refusal: ``unsupported_feature``.
    """
    try:
        request = msgspec.json.decode(body)
        remote = any(_is_remote(reference) for reference in _references(operation, request))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refusal("invalid_request", "The request body is not valid JSON, or is nested too deeply.") from None
    if remote:
        raise Refusal("unsupported_feature", _REMOTE)


def _is_remote(reference: Any) -> bool:
    return isinstance(reference, str) and not reference.lstrip().lower().startswith("data:")


def _references(operation: Operation, request: Any) -> Iterator[Any]:
    if operation in {Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS, Operation.OPENAI_EMBEDDINGS}:
        for message in _objects(request.get("messages")):
            yield from _chat(message.get("content"))
        yield from _chat(request.get("input"))
    elif operation.family is Family.OPENAI:
        for item in _objects(request.get("input")):
            for part in (item, *_objects(item.get("content")), *_objects(item.get("output"))):
                yield from (_address(part.get(name)) for name in ("image_url", "file_url", "video_url", "audio_url"))
    elif operation.family is Family.ANTHROPIC:
        for message in (*_objects(request.get("messages")), {"content": request.get("system")}):
            yield from _anthropic(message.get("content"))


def _chat(content: Any) -> Iterator[Any]:
    for part in _objects(content):
        for name in _OPENAI_CHAT:
            yield _address(part.get(name))


def _anthropic(content: Any) -> Iterator[Any]:
    for block in _objects(content):
        source = block.get("source")
        if isinstance(source, dict):
            if source.get("type") == "url":
                yield source.get("url", "")
            yield from _anthropic(source.get("content"))
        yield from _anthropic(block.get("content"))


def _address(value: Any) -> Any:
    """An address is a string, or an object with ``url``; other objects hold data."""
    if isinstance(value, dict):
        return value.get("url", value.get("file_url"))
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]
