"""How OpenAI's chat, completions, embeddings and Responses answers state usage, end and failure.

Documented paths, the only ones read: ``usage`` at the top of a chat, completions or embeddings body
or chunk; ``response.usage`` of ``response.completed``, ``response.incomplete`` and
``response.failed``; ``usage`` at the top of a Responses body. A chat stream ends with ``[DONE]``; of
hosts that send none the last chunk with choices has a finish reason. A Responses stream ends with
one of the three events above. An error in a begun stream is an ``error`` member, or an event of type
``error``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from metering.usage import Report, ServiceTier, Usage
from providers.answers.events import EventStream
from providers.answers.reading import Body, filled, read, read_strictly, stated_variant, value
from providers.dialect import Head
from providers.document.members import ABSENT, given, is_list
from providers.document.projection import Wanted
from providers.openai.failure import provider_error
from providers.openai.usage import chat_usage, responses_usage, service_tier

NEEDLE = b'_tokens"'
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_OPENING = frozenset({"", "response.created", "response.in_progress", "response.queued", "keepalive"})


class _Choice(msgspec.Struct):
    finish_reason: msgspec.Raw = ABSENT
    delta: msgspec.Raw = ABSENT
    message: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT


class _Chunk(msgspec.Struct):
    choices: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT


class _Body(msgspec.Struct):
    choices: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    usage: Any = None
    error: msgspec.Raw = ABSENT
    service_tier: Any = None


class _Item(msgspec.Struct):
    type: str = ""


class _Response(msgspec.Struct):
    usage: msgspec.Raw = ABSENT
    tool_usage: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    status: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Counted(msgspec.Struct):
    input_tokens: msgspec.Raw = ABSENT


_choices = msgspec.json.Decoder(list[_Choice])
_chunk = msgspec.json.Decoder(_Chunk)
_body = msgspec.json.Decoder(_Body)
_items = msgspec.json.Decoder(list[_Item])
_response = msgspec.json.Decoder(_Response)
_response_event = msgspec.json.Decoder(_ResponseEvent)
_counted = msgspec.json.Decoder(_Counted)

CHAT: Wanted = {
    b"choices": {b"finish_reason": None},
    b"data": {},
    b"usage": None,
    b"error": None,
    b"service_tier": None,
}
RESPONSE: Wanted = {
    b"usage": None,
    b"tool_usage": None,
    b"output": {b"type": None},
    b"status": None,
    b"error": None,
    b"service_tier": None,
}
RESPONSE_EVENT: Wanted = {b"type": None, b"response": RESPONSE, b"error": None}
COUNTED: Wanted = {b"input_tokens": None}


class ChatStream(EventStream):
    """Chunks of chat or of legacy completions."""

    __slots__ = ("_tier", "_usage")

    def __init__(self, head: Head) -> None:
        super().__init__(head, NEEDLE, CHAT, hide=not head.wants_usage)
        self._usage: Usage | None = None
        self._tier: ServiceTier | None = None

    def _event(self, data: bytes) -> bool:
        chunk = read(_chunk, data, CHAT)
        if chunk is None:
            return False
        choices = read_strictly(_choices, chunk.choices)
        if choices:
            self._finished = any(filled(choice.finish_reason) for choice in choices)
            self._begun = self._begun or self._finished or any(_says(choice) for choice in choices)
        if given(chunk.error):
            self._error = self._error or provider_error(value(chunk.error))
        self._tier = service_tier(value(chunk.service_tier)) or self._tier
        usage = value(chunk.usage)
        self._usage = chat_usage(usage) or self._usage
        return choices == [] and isinstance(usage, dict)

    def _ended(self) -> bool:
        return self._finished or (self._done and self._begun)

    def estimated_output(self) -> int:
        """One token an event: 0.84 of what is reported in the median of recorded streams (0.42 to 1.07)."""
        return self.events

    def _reported(self) -> Report:
        return Report(self._usage, stated_variant(self._head, self._tier))


class ResponsesStream(EventStream):
    """Events of the Responses API."""

    __slots__ = ("_report",)

    def __init__(self, head: Head) -> None:
        super().__init__(head, NEEDLE, RESPONSE_EVENT)
        self._report = Report()

    def _event(self, data: bytes) -> bool:
        event = read(_response_event, data, RESPONSE_EVENT)
        if event is None:
            return False
        if event.type in _TERMINAL:
            response = read_strictly(_response, event.response)
            if response is not None:
                self._report = _response_report(response, self._head)
            if event.type == "response.failed":
                error = value(response.error) if response is not None else None
                self._error = self._error or provider_error(error)
            else:
                self._begun = self._finished = True
        elif event.type == "error" or given(event.error):
            self._error = self._error or provider_error(value(event.error) or value(msgspec.Raw(data)))
        elif event.type not in _OPENING:
            self._begun = True
        return False

    def estimated_output(self) -> int:
        """Nine tokens in ten events: 0.78 of what is reported in the median of recorded streams (0.55 to 0.98)."""
        return self.events * 9 // 10

    def _reported(self) -> Report:
        return self._report


def read_chat(body: bytes, head: Head) -> Body | None:
    """A whole chat or completions body."""
    return _read_body(body, head, "choices")


def read_embeddings(body: bytes, head: Head) -> Body | None:
    """A whole embeddings body."""
    return _read_body(body, head, "data")


def _read_body(body: bytes, head: Head, shape: str) -> Body | None:
    chat = read_strictly(_body, body)
    if chat is None:
        return None
    variant = stated_variant(head, service_tier(chat.service_tier))
    error = provider_error(value(chat.error)) if given(chat.error) else None
    return Body(Report(chat_usage(chat.usage), variant), is_list(getattr(chat, shape)), error)


def read_response(body: bytes, head: Head) -> Body | None:
    """A whole Responses body, of a compaction too."""
    response = read_strictly(_response, body)
    if response is None:
        return None
    failed = given(response.error) or value(response.status) == "failed"
    error = provider_error(value(response.error)) if failed else None
    return Body(_response_report(response, head), is_list(response.output), error)


def read_counted(body: bytes, head: Head) -> Body | None:  # noqa: ARG001 - one signature for all readers
    """A token count: how large a prompt would be. Nothing was used, nothing is billed."""
    counted = read_strictly(_counted, body)
    if counted is None:
        return None
    usage = responses_usage({"input_tokens": value(counted.input_tokens)})
    return Body(Report(usage), usage is not None)


def _says(choice: _Choice) -> bool:
    """A choice of a chunk carries output: more than a role."""
    for raw in (choice.delta, choice.message):
        delta = value(raw)
        if isinstance(delta, dict) and any(delta[name] for name in delta if name != "role"):
            return True
    return bool(value(choice.text))


def _response_report(response: _Response, head: Head) -> Report:
    usage = responses_usage(value(response.usage), tool_usage=value(response.tool_usage))
    called = [item.type for item in read_strictly(_items, response.output) or ()]
    searches = called.count("file_search_call")
    if usage is None or usage.searches is None:
        searches += called.count("web_search_call")
    runs = called.count("code_interpreter_call")
    if "openai_shell" in head.server_tools:
        runs += called.count("shell_call")
    if searches or runs:
        usage = usage or Usage()
        if searches:
            usage.searches = (usage.searches or 0) + searches
        if runs:
            usage.code_runs = runs
    return Report(usage, stated_variant(head, service_tier(value(response.service_tier))))
