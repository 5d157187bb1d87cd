"""How OpenAI's chat, completions, embeddings and Responses answers state usage, output, end and failure.

Documented paths, the only ones read: ``usage`` at the top of a chat, completions or embeddings body
or chunk, ``choices[0].usage`` (Kimi) and ``x_groq.usage`` (Groq); ``response.usage`` of
``response.completed``, ``response.incomplete`` and ``response.failed``; ``usage`` at the top of a
Responses body.

A chat stream has ended once each choice has a reason to stop, or with ``[DONE]`` after output. The API
documents ``[DONE]`` as the terminator, but some hosts never send it (Perplexity), and others never send a
reason (Snowflake Cortex). ``[DONE]`` without output is not an answer. A Responses stream ends with
``response.completed`` or ``response.incomplete``.

An error is an ``error`` member that is not empty, an event or object of type ``error``, a reason to stop
``error``, ``response.failed``, or a ``status`` of ``failed``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from metering.usage import FinishReason, Report, ServiceTier, Usage
from providers.answers.body import JsonBody
from providers.answers.counts import count, lay_over, member
from providers.answers.events import ERROR, EventStream
from providers.answers.reading import (
    Body,
    Choices,
    filled,
    is_array,
    name_of_model,
    read,
    read_strictly,
    stated_variant,
    truthy,
    unwrapped,
    value,
)
from providers.answers.sniff import scanner_by_label
from providers.dialect import Head, ProviderError, Scanner
from providers.document.members import ABSENT, is_list
from providers.document.projection import Wanted
from providers.openai.calls import ITEM, ResponseCalls
from providers.openai.failure import provider_error
from providers.openai.output import chat_output, responses_output
from providers.openai.usage import add_usage, chat_usage, responses_usage, service_tier

NEEDLE = b'_tokens"'
_SMALL_CHUNK = 17  # bytes: [DONE]
_SMALL_EVENT = 48  # bytes: a keep-alive; an event with the shortest name and one letter of text is larger
_MARKS = (ERROR, b'"response.completed"', b'"response.incomplete"', b'"response.failed"', b'"response.cancelled"')
_ROLE = frozenset({"role", "name", "index"})
_NO_REASON = frozenset((b"", b"null", b'""', b'"null"', ERROR))
_REASONS = {
    b'"stop"': FinishReason.STOP,
    b'"length"': FinishReason.LENGTH,
    b'"tool_calls"': FinishReason.TOOL_CALL,
    b'"function_call"': FinishReason.TOOL_CALL,
    b'"content_filter"': FinishReason.CONTENT_FILTER,
}


class _Choice(msgspec.Struct):
    index: msgspec.Raw = ABSENT
    finish_reason: msgspec.Raw = ABSENT
    delta: msgspec.Raw = ABSENT
    message: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = ABSENT
    usage_breakdown: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Chunk(msgspec.Struct):
    """A chunk or a whole body of chat or completions, or a body of embeddings."""

    object: msgspec.Raw = ABSENT
    choices: msgspec.Raw = ABSENT
    data: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    x_groq: msgspec.Raw = ABSENT
    usage_breakdown: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    base_resp: msgspec.Raw = ABSENT
    # Members that some hosts send instead of ``error``.
    message: msgspec.Raw = ABSENT
    detail: msgspec.Raw = ABSENT
    errors: msgspec.Raw = ABSENT
    code: msgspec.Raw = ABSENT
    type: msgspec.Raw = ABSENT


class _Response(msgspec.Struct):
    object: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    tool_usage: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    status: msgspec.Raw = ABSENT
    incomplete_details: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    service_tier: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    message: msgspec.Raw = ABSENT
    detail: msgspec.Raw = ABSENT


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = ABSENT
    output_index: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT
    part: msgspec.Raw = ABSENT
    delta: msgspec.Raw = ABSENT


class _Counted(msgspec.Struct):
    input_tokens: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


_choices = msgspec.json.Decoder(list[_Choice])
_groq = msgspec.json.Decoder(_Groq)
_chunk = msgspec.json.Decoder(_Chunk)
_response = msgspec.json.Decoder(_Response)
_response_event = msgspec.json.Decoder(_ResponseEvent)
_counted = msgspec.json.Decoder(_Counted)

CHAT: Wanted = {
    b"object": None,
    b"choices": {b"index": None, b"finish_reason": None, b"usage": None, b"error": None},
    b"data": {},
    b"usage": None,
    b"x_groq": {b"usage": None, b"usage_breakdown": None, b"error": None},
    b"usage_breakdown": None,
    b"service_tier": None,
    b"model": None,
    b"error": None,
    b"base_resp": None,
}
RESPONSE: Wanted = {
    b"object": None,
    b"usage": None,
    b"tool_usage": None,
    b"output": ITEM,
    b"model": None,
    b"status": None,
    b"incomplete_details": {b"reason": None},
    b"error": None,
    b"service_tier": None,
}
RESPONSE_EVENT: Wanted = {
    b"type": None,
    b"response": RESPONSE,
    b"output_index": None,
    b"item": ITEM,
    b"error": None,
    b"code": None,
    b"message": None,
}
COUNTED: Wanted = {b"input_tokens": None, b"error": None}


class ChatStream(EventStream):
    """Chunks of chat or of legacy completions."""

    __slots__ = ("_choices", "_model", "_several", "_stated", "_tier")

    def __init__(self, head: Head) -> None:
        super().__init__(head, NEEDLE, CHAT, small=_SMALL_CHUNK, hide=not head.wants_usage, each=head.choices > 1)
        self._choices = Choices(head.choices)
        self._stated: dict[str, Any] = {}
        self._tier: ServiceTier | None = None
        self._several = False  # several models produced it
        self._model = ABSENT

    def _event(self, data: bytes) -> bool:
        chunk = read(_chunk, data, CHAT)
        if chunk is None:
            return False
        choices = read_strictly(_choices, chunk.choices) or []
        for choice in choices:
            reason = _reason(choice)
            said = (not self._begun or self._choices.any_ended) and _says(choice)
            self._choices.note(value(choice.index) if self._each else 0, reason, says=said)
            self._begun = self._begun or said or reason is not None
        self._fail(_chat_error(chunk, choices, shaped=bool(choices)))
        usages = _usages(chunk, choices)
        for usage in usages:
            add_usage(self._stated, usage)
        self._tier = service_tier(value(chunk.service_tier)) or self._tier
        self._several = self._several or _several_models(chunk)
        if len(chunk.model):
            self._model = chunk.model
        return bool(usages) and not choices and not truthy(chunk.error)

    def _failure(self, data: bytes) -> ProviderError:
        return _named_error(data)

    def _ended(self) -> bool:
        return self._choices.ended or (self._done and self._begun)

    _output = staticmethod(chat_output)

    def estimated_output(self) -> int:
        """What is stated once the answer has ended, also before an error; else from what has passed."""
        return self._stated_or_passed(self.report().usage, final=self._ended())

    def _reported(self) -> Report:
        return _report(
            self._stated,
            self._tier,
            self._head,
            model=self._model,
            ended=self._ended(),
            several=self._several,
            finish=self._choices.reasons,
        )


def chat_scanner(head: Head, *, sse: bool | None) -> Scanner:
    """The scanner of an answer of chat or of legacy completions; see `providers.dialect.Wire.scanner`."""
    return scanner_by_label(sse, lambda: ChatStream(head), lambda: JsonBody(head, read_chat, CHAT, output=chat_output))


class ResponsesStream(EventStream):
    """Events of the Responses API."""

    __slots__ = ("_said",)

    def __init__(self, head: Head) -> None:
        # If a stream is cut, its calls are counted from its items.
        each = bool(head.server_tools)
        super().__init__(head, NEEDLE, RESPONSE_EVENT, small=_SMALL_EVENT, marks=_MARKS, each=each)
        self._said = _Said(head)

    def _event(self, data: bytes) -> bool:
        event = read(_response_event, data, RESPONSE_EVENT)
        if event is None:
            return False
        if event.type in _TERMINAL:
            response = read_strictly(_response, event.response) or _Response()
            self._said.take(response)
            error = _response_error(response, failed=event.type in _FAILED)
            self._fail(error)
            if error is None:
                self._begun = self._finished = True
        elif event.type == "error" or truthy(event.error):
            self._fail(_named_error(data))
        else:
            if event.type == "response.output_item.done":
                self._said.calls.note(value(event.output_index), event.item)
            if not self._begun:
                self._begun = _opens_output(event)
        return False

    def _failure(self, data: bytes) -> ProviderError:
        return _named_error(data)

    def _only_opens(self, data: bytes) -> bool:
        event = read_strictly(_response_event, data)
        return event is not None and event.type in _OPENING

    _output = staticmethod(responses_output)

    def estimated_output(self) -> int:
        """What is stated, which is at the end, also of an answer that failed; else from what has passed."""
        return self._stated_or_passed(self.report().usage, final=True)

    def _reported(self) -> Report:
        return self._said.report()


_WHOLE = frozenset((b'"completed"', b'"incomplete"'))
_RUNNING = frozenset((b'"queued"', b'"in_progress"'))
_CUT = {"max_output_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}
_FAILED = frozenset({"response.failed", "response.cancelled"})
_TERMINAL = frozenset({"response.completed", "response.incomplete", *_FAILED})
_OPENING = frozenset({"response.created", "response.in_progress", "response.queued"})
_ADDED = frozenset(
    {"response.output_item.added", "response.content_part.added", "response.reasoning_summary_part.added"}
)
_WORDLESS = frozenset({"id", "type", "role", "status", "phase"})


def _opens_output(event: _ResponseEvent) -> bool:
    """Whether the event has output: events that open a response, and empty items, parts and deltas, have none."""
    if event.type in _OPENING or not event.type.startswith("response."):
        return False
    if event.type.endswith(".delta"):
        return filled(value(event.delta))
    if event.type in _ADDED:
        added = value(event.item) or value(event.part)
        kind = added.get("type") if isinstance(added, dict) else None
        if kind is None or kind in ("message", "reasoning", "output_text", "refusal", "summary_text"):
            return filled(added, beside=_WORDLESS)
    return True


def read_chat(body: bytes, head: Head) -> Body | None:
    """A whole chat or completions body."""
    chat = read_strictly(_chunk, unwrapped(body))
    if chat is None:
        return None
    choices = read_strictly(_choices, chat.choices) or []
    stated: dict[str, Any] = {}
    for usage in _usages(chat, choices):
        add_usage(stated, usage)
    shaped = is_list(chat.choices) and bool(choices or stated) and not is_array(body)
    tier = service_tier(value(chat.service_tier))
    finish = tuple(reason for choice in choices if (reason := _reason(choice)) is not None)
    report = _report(stated, tier, head, model=chat.model, ended=True, several=_several_models(chat), finish=finish)
    return Body(report, shaped, _chat_error(chat, choices, shaped=shaped))


def chat_error(data: bytes) -> ProviderError | None:
    """The error in a chunk or a whole chat body."""
    chunk = read_strictly(_chunk, data)
    if chunk is None:
        return None
    return _chat_error(chunk, read_strictly(_choices, chunk.choices) or [], shaped=is_list(chunk.choices))


def read_embeddings(body: bytes, head: Head) -> Body | None:
    """A whole embeddings body: vectors are no output."""
    chat = read_strictly(_chunk, unwrapped(body))
    if chat is None:
        return None
    stated: dict[str, Any] = {}
    add_usage(stated, value(chat.usage))
    shaped = is_list(chat.data) and (truthy(chat.data) or bool(stated))
    if stated and stated.get("completion_tokens") is None:
        stated["completion_tokens"] = 0  # there is no output, so a total is the input (Voyage states only the total)
    report = _report(stated, service_tier(value(chat.service_tier)), head, model=chat.model, ended=True)
    if report.usage is not None and report.usage.out_visible is None:
        report.usage.out_visible = 0
    return Body(report, shaped, _chat_error(chat, [], shaped=shaped))


def read_response(body: bytes, head: Head) -> Body | None:
    """A whole body of Responses or of a compaction."""
    response = read_strictly(_response, unwrapped(body))
    if response is None:
        return None
    error = _response_error(response, failed=False)
    status = bytes(response.status)
    shaped = not is_array(body) and (status in _WHOLE or (is_list(response.output) and status not in _RUNNING))
    if error is None and not shaped and (truthy(response.message) or truthy(response.detail)):
        error = _named_error(bytes(unwrapped(body)))
    said = _Said(head)
    said.take(response)
    return Body(said.report(), shaped, error)


def read_counted(body: bytes, head: Head) -> Body | None:  # noqa: ARG001 - one signature for all readers
    """A token count of a prompt. Nothing was used, and nothing is billed."""
    counted = read_strictly(_counted, unwrapped(body))
    if counted is None:
        return None
    tokens = count(value(counted.input_tokens))
    error = provider_error(value(counted.error)) if truthy(counted.error) else None
    return Body(Report(None if tokens is None else Usage(in_uncached=tokens)), tokens is not None, error)


def _reason(choice: _Choice) -> FinishReason | None:
    stated = bytes(choice.finish_reason)
    return None if stated in _NO_REASON else _REASONS.get(stated, FinishReason.OTHER)


def _says(choice: _Choice) -> bool:
    """Whether a choice has output, not only a role."""
    for raw in (choice.delta, choice.message):
        if len(raw) and filled(value(raw), beside=_ROLE):
            return True
    return len(choice.text) > 0 and bool(value(choice.text))


def _usages(chunk: _Chunk, choices: list[_Choice]) -> list[dict[str, Any]]:
    """The usage objects of a chunk; the one at its top level is last, so it overrides the others."""
    raws = [choices[0].usage] if choices else []
    if len(chunk.x_groq) and (groq := read_strictly(_groq, chunk.x_groq)) is not None:
        raws.append(groq.usage)
    raws.append(chunk.usage)
    return [usage for raw in raws if len(raw) and isinstance(usage := value(raw), dict)]


def _several_models(chunk: _Chunk) -> bool:
    """Whether Groq's compound systems state the usage of several models, each with a price of its own."""
    if not len(chunk.x_groq) and not len(chunk.usage_breakdown):
        return False
    breakdowns = [chunk.usage_breakdown]
    if len(chunk.x_groq) and (groq := read_strictly(_groq, chunk.x_groq)) is not None:
        breakdowns.append(groq.usage_breakdown)
    return any(len(member(value(raw), "models") or ()) > 1 for raw in breakdowns if len(raw))


def _report(
    stated: dict[str, Any],
    tier: ServiceTier | None,
    head: Head,
    *,
    model: msgspec.Raw,
    ended: bool,
    several: bool = False,
    finish: tuple[FinishReason, ...] = (),
) -> Report:
    counted = chat_usage(stated, ended=ended)
    unpriced = counted.unpriced or tier is ServiceTier.OTHER or several
    return Report(
        counted.usage,
        stated_variant(head, tier),
        suspect=counted.suspect,
        unpriced=unpriced,
        model=name_of_model(model),
        finish=finish,
    )


def _chat_error(chunk: _Chunk, choices: list[_Choice], *, shaped: bool) -> ProviderError | None:
    if truthy(chunk.error):
        return provider_error(value(chunk.error))
    for choice in choices:
        if truthy(choice.error) or bytes(choice.finish_reason) == ERROR:
            return provider_error(value(choice.error))
    if len(chunk.x_groq) and (groq := read_strictly(_groq, chunk.x_groq)) is not None and truthy(groq.error):
        return provider_error(value(groq.error))
    outcome = value(chunk.base_resp) if len(chunk.base_resp) else None  # MiniMax: 0 is success
    if isinstance(outcome, dict) and outcome.get("status_code"):
        return provider_error({"message": outcome.get("status_msg"), "code": str(outcome["status_code"])})
    if shaped or is_list(chunk.choices) or is_list(chunk.data):
        return None
    if bytes(chunk.object) == ERROR or any(map(truthy, (chunk.message, chunk.detail, chunk.errors))):
        named = ("message", "detail", "errors", "code", "type")
        said = {name: value(getattr(chunk, name)) for name in named}
        return provider_error(said | {"message": said["message"] or said["detail"]})
    return None


def _response_error(response: _Response, *, failed: bool) -> ProviderError | None:
    if failed or truthy(response.error) or bytes(response.status) in {b'"failed"', b'"cancelled"'}:
        return provider_error(value(response.error))
    return None


def _named_error(data: bytes) -> ProviderError:
    """The error in an event or body that is an error by its name or type, whatever its form."""
    said = value(msgspec.Raw(data))
    if isinstance(said, dict) and filled(said.get("error")):
        return provider_error(said["error"])
    return provider_error(said if isinstance(said, dict) else data.decode("utf-8", "replace"))


class _Said:
    """The statements in the terminal events of one response, or in its whole body."""

    __slots__ = ("_finish", "_head", "_model", "_stated", "_tier", "_tools", "calls")

    def __init__(self, head: Head) -> None:
        self._head = head
        self._stated: dict[str, Any] = {}
        self._tools: dict[str, Any] = {}
        self._tier: ServiceTier | None = None
        self._model = ABSENT
        self._finish: tuple[FinishReason, ...] = ()
        self.calls = ResponseCalls(head.server_tools)

    def take(self, response: _Response) -> None:
        """Overwrite earlier statements with a later one."""
        add_usage(self._stated, value(response.usage))
        lay_over(self._tools, value(response.tool_usage))
        self._tier = service_tier(value(response.service_tier)) or self._tier
        self._model = response.model if len(response.model) else self._model
        status = bytes(response.status)
        if status == b'"completed"':
            self._finish = (FinishReason.STOP,)  # the API does not say so of calls of tools
        elif status == b'"incomplete"':
            reason = member(value(response.incomplete_details), "reason")
            known = isinstance(reason, str) and reason in _CUT
            self._finish = (_CUT[reason] if known else FinishReason.OTHER,)
        self.calls.take(response.output)

    def report(self) -> Report:
        counted = responses_usage(self._stated, tool_usage=self._tools)
        usage = counted.usage or Usage()
        self.calls.add_to(usage)
        return Report(
            usage if usage != Usage() else None,
            stated_variant(self._head, self._tier),
            suspect=counted.suspect,
            unpriced=counted.unpriced or self._tier is ServiceTier.OTHER or self.calls.unpriced,
            model=name_of_model(self._model),
            finish=self._finish,
        )
