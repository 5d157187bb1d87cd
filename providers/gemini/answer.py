"""How Gemini's answers state usage, output, end and failure.

Documented paths, the only ones read: ``usageMetadata`` at the top of a body or chunk. Every
chunk has it, cumulatively, so only the last chunks need to be decoded.
A stream has no end marker: its last chunk has a finish reason, or the prompt was
blocked, which is an answer too. Without ``alt=sse`` a stream is one JSON array, whose end must come too.

Lines of data without blank lines between them are separate chunks: Google's Python SDK read every line separately
before version 3, and many clients that call the API without an SDK do so. (The SDKs of the other dialects join such
lines, as the standard says, and so do these dialects' scanners.)

``args`` of a function call and ``response`` of a tool are arbitrary objects and may contain the same
names. A chunk with one of them is decoded at once, so that it cannot displace an earlier real count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from metering.usage import FinishReason, Report, Usage
from providers.answers.events import ERROR, HOLD_LIMIT, EventStream
from providers.answers.produced import Produced
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
from providers.answers.sse import (
    DONE,
    blanks_before,
    data_of,
    event_spans,
    first_boundary,
    has_next_lines,
    last_boundary,
    next_lines,
    with_blank_lines,
)
from providers.dialect import Head, ProviderError, Redact
from providers.document.members import ABSENT, given, is_list
from providers.document.projection import JsonProjection, Wanted
from providers.gemini.failure import provider_error
from providers.gemini.grounding import WANTED, Grounding
from providers.gemini.output import chunk_output, thought_output
from providers.gemini.usage import add_usage, counted_tokens, gemini_usage, service_tier

NEEDLE = b'"usageMetadata"'


class _Candidate(msgspec.Struct):
    index: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    finishReason: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name
    groundingMetadata: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name


class _Feedback(msgspec.Struct):
    blockReason: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name


class _Chunk(msgspec.Struct):
    candidates: msgspec.Raw = ABSENT
    promptFeedback: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name
    usageMetadata: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name
    modelVersion: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name
    embedding: msgspec.Raw = ABSENT
    embeddings: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Counted(msgspec.Struct):
    error: msgspec.Raw = ABSENT
    totalTokens: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name
    cachedContentTokenCount: msgspec.Raw = ABSENT  # noqa: N815 - the wire's name


_candidates = msgspec.json.Decoder(list[_Candidate])
_feedback = msgspec.json.Decoder(_Feedback)
_chunk = msgspec.json.Decoder(_Chunk)
_counted = msgspec.json.Decoder(_Counted)

_CANDIDATE: Wanted = {b"index": None, b"finishReason": None, b"groundingMetadata": WANTED}
CHUNK: Wanted = {
    b"candidates": _CANDIDATE,
    b"promptFeedback": {b"blockReason": None},
    b"usageMetadata": None,
    b"modelVersion": None,
    b"embedding": {},
    b"embeddings": {},
    b"error": None,
}
COUNTED: Wanted = {b"error": None, b"totalTokens": None, b"cachedContentTokenCount": None}


_WITH_PARTS: Wanted = {**CHUNK, b"candidates": {**_CANDIDATE, b"content": {b"parts": None}}}
_NO_REASON = frozenset(
    (b"", b"null", b'""', b"0", b'"FINISH_REASON_UNSPECIFIED"', b'"BLOCK_REASON_UNSPECIFIED"',
     b'"BLOCKED_REASON_UNSPECIFIED"')
)  # fmt: skip
_NO_OUTPUT = frozenset({"thought"})
# By name or, as some hosts write it, by number. Gemini stops in the same way at a call of a tool.
_REASONS = {
    b'"STOP"': FinishReason.STOP,
    b"1": FinishReason.STOP,
    b'"MAX_TOKENS"': FinishReason.LENGTH,
    b"2": FinishReason.LENGTH,
    **dict.fromkeys(
        (b'"SAFETY"', b"3", b'"RECITATION"', b"4", b'"BLOCKLIST"', b"6", b'"PROHIBITED_CONTENT"', b"7", b'"SPII"', b"8",
         b'"IMAGE_SAFETY"', b'"MODEL_ARMOR"', b'"LANGUAGE"'),
        FinishReason.CONTENT_FILTER,
    ),
}  # fmt: skip


class _State:
    """The state of one answer, from its chunks in order."""

    __slots__ = ("_blocked", "_calls", "_choices", "_model", "_several", "_stated", "begun", "error")

    def __init__(self, head: Head) -> None:
        self._stated: dict[str, Any] = {}
        self._choices = Choices(head.choices)
        self._several = head.choices > 1
        self._blocked = False
        self._calls = Grounding(head.server_tools)
        self._model = ABSENT
        self.begun = False
        self.error: ProviderError | None = None

    @property
    def finished(self) -> bool:
        return self._blocked or self._choices.ended

    def read(self, data: bytes) -> bool:
        """Read a chunk; true if it states usage."""
        chunk = read(_chunk, data, CHUNK)
        return chunk is not None and self.take(chunk)

    def take(self, chunk: _Chunk) -> bool:
        """Note a chunk; true if it states usage."""
        candidates = read_strictly(_candidates, chunk.candidates) or []
        for candidate in candidates:
            stated = bytes(candidate.finishReason)
            reason = None if stated in _NO_REASON else _REASONS.get(stated, FinishReason.OTHER)
            said = (not self.begun or self._choices.any_ended) and _says(candidate)
            self._choices.note(value(candidate.index) if self._several else 0, reason, says=said)
            self.begun = self.begun or said or reason is not None
        feedback = read_strictly(_feedback, chunk.promptFeedback) if len(chunk.promptFeedback) else None
        if feedback is not None and bytes(feedback.blockReason) not in _NO_REASON:
            self.begun = self._blocked = True
        if truthy(chunk.error):
            self.error = self.error or provider_error(value(chunk.error))
        if len(chunk.modelVersion):
            self._model = chunk.modelVersion
        for candidate in candidates:
            if len(candidate.groundingMetadata):
                self._calls.note(value(candidate.groundingMetadata))
        self._calls.end_chunk()
        metadata = value(chunk.usageMetadata)
        add_usage(self._stated, metadata)
        return isinstance(metadata, dict)

    def report(self, head: Head, *, ended: bool | None = None) -> Report:
        """The counts; ``ended``: the answer is known to be whole although it has no reason to stop."""
        counted = gemini_usage(self._stated, ended=self.finished if ended is None else ended)
        usage, model = counted.usage, name_of_model(self._model)
        searches, map_searches = self._calls.billed(model or head.model)
        if searches:
            usage = replace(usage or Usage(), searches=searches, map_searches=map_searches or None)
        variant = stated_variant(head, service_tier(self._stated))
        finish = self._choices.reasons or ((FinishReason.CONTENT_FILTER,) if self._blocked else ())
        return Report(usage, variant, suspect=counted.suspect, unpriced=counted.unpriced, model=model, finish=finish)


def _says(candidate: _Candidate) -> bool:
    """Whether a candidate has output: a part that is not empty, or a search."""
    content = value(candidate.content)
    parts = content.get("parts") if isinstance(content, dict) else None
    if isinstance(content, dict) and "parts" in content and parts is None:
        return True  # too large to be copied
    said = isinstance(parts, list) and any(isinstance(part, dict) and filled(part, beside=_NO_OUTPUT) for part in parts)
    return said or filled(value(candidate.groundingMetadata))


def _estimated(usage: Usage | None, produced: Produced, events: int) -> int:
    """Output so far, thoughts included: each of the two as stated, else from what has passed."""
    visible = None if usage is None else usage.out_visible
    thoughts = None if usage is None else usage.out_reasoning
    if visible:
        return visible + (thoughts or 0)
    return produced.tokens(events) + (thoughts or produced.thoughts(events))


class GenerateStream(EventStream):
    """Chunks of a stream with ``alt=sse``."""

    __slots__ = ("_before", "_candidate", "_lines", "_state", "_usage_size")

    def __init__(self, head: Head) -> None:
        super().__init__(head, NEEDLE, CHUNK, each=head.choices > 1 or bool(head.server_tools))
        self._produced = Produced(chunk_output, thought_output)
        self._state = _State(head)
        # The last two blocks that state usage, undecoded. Counts only grow: if the text of the usage becomes shorter,
        # the host closed its stream with an empty object, and the block before it is read first.
        self._candidate: bytes | None = None
        self._before: bytes | None = None
        self._usage_size = 0
        self._lines: bool | None = None  # every line of data is an event; not known until one line follows another

    @property
    def at_boundary(self) -> bool:
        """The bytes passed on so far end between two events, or between two lines if each line is an event."""
        return super().at_boundary or (self._lines is True and self._edge.endswith((b"}\n", b"}\r")))

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Always false: every event may state counts."""
        return False

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return it."""
        size = len(data)
        self.size += size
        if size < self._least or not data.endswith(self._end):
            return self._feed(data)
        position = data.rfind(NEEDLE)
        if data.find(b"\n") == size - self._tail:  # one line of data
            if position < 0 and ERROR in data:
                return self._feed(data)
            before = self.events
            self.events = before + 1
            if before >= self._produced.next:
                self._produced.one(data, before)
            self._consider(data, position)
            return data
        if ERROR in data:
            return self._feed(data)
        self._count(data)
        self._consider(self._apart(data))
        return data

    def _feed(self, data: bytes) -> bytes:
        if self._large is None or self._lines is False:
            return super()._feed(data)
        ends = next_lines(self._edge + data)
        blank = first_boundary(self._seam + data) - len(self._seam)
        end = ends[0] - len(self._edge) if ends else 0
        if not ends or -len(self._seam) < blank <= end:
            return super()._feed(data)
        begun = self._edge[end:] if end < 0 else b""  # the start of the next event, in the bytes that came before
        end = max(0, end)
        self._large.feed(data[:end])
        event = self._large.result()
        self._lines = event is not None
        if event is None:
            self._carried += end
            self._passed = self._carried
            self._seam = (self._seam + data[:end])[-len(self._seam) :]
        else:
            self._take_large(event)
            if begun:
                self._begin_with(begun, len(begun))
        rest = data[end:]
        shown = self._feed(rest)
        return data if shown is rest else data[:end] + shown

    def _hold(self, data: bytes) -> bytes:
        """Take bytes that do not end an event, unless one of their lines is an event."""
        if self._lines is False:
            return super()._hold(data)
        probe = self._edge + data
        ends = next_lines(probe) if self._large is None else []
        if not ends:
            return super()._hold(data)
        passed, withheld = self._passed, self._carried - self._passed
        held = b"".join([*self._carry, data])
        before = len(held) - len(probe)
        if not self._are_lines(held[: before + ends[0]]):
            return super()._hold(data)
        end = before + ends[-1]
        block, rest = held[:end], held[end:]
        self._begin_event()
        shown = self._scan(block, passed)
        begun = max(0, passed - end)  # the part of the rest that was passed on already
        more = self._begin_with(rest, begun)
        if shown is block and not withheld and len(more) == len(rest) - begun:
            return data
        return shown[passed:] + more

    def _are_lines(self, first: bytes) -> bool:
        """Whether each line is an event: ``first``, which another line follows, is a whole chunk."""
        if self._lines is None:
            self._lines = read_strictly(_chunk, data_of(first)) is not None
        return self._lines

    def _apart(self, block: bytes) -> bytes:
        """``block`` with blank lines between its events."""
        if self._lines is False or not has_next_lines(block):
            return block
        first = next_lines(block)[0]
        start = last_boundary(block[:first])
        return with_blank_lines(block) if self._are_lines(block[start:first]) else block

    def _scan(self, block: bytes, passed: int) -> bytes:
        apart = self._apart(block)
        if self._redact is not None and ERROR in block:
            before = passed if apart is block else passed + blanks_before(block, passed)
            shown = super()._scan(apart, before)
            return block if shown is apart else block[:passed] + shown[before:]
        self._count(block)
        if self._begun and not self._each:
            self._consider(apart)
        else:
            for start, end in event_spans(apart):
                self._take(apart[start:end])
        return block

    def _learn(self, event: bytes) -> None:
        """Nothing to learn: each event is examined."""

    def _consider(self, block: bytes, position: int | None = None) -> None:
        """Remember a block; ``position``: where it states usage, -1 if it does not, ``None`` if not known."""
        if position is None:
            position = block.rfind(NEEDLE)
        if position < 0:
            self._settle()
            self._note(block)
        elif self._last is not None or block.rfind(b'"args"') >= 0 or block.rfind(b'"response"') >= 0:
            self._settle()
            self._read_block(block)
        else:
            size = len(block) - position
            if size < self._usage_size:
                self._settle()
            self._usage_size = size
            self._before, self._candidate = self._candidate, block

    def _settle(self) -> None:
        if self._candidate is not None:
            before, block, self._before, self._candidate = self._before, self._candidate, None, None
            if before is not None:
                self._read_block(before)
            self._read_block(block)
        super()._settle()

    def _read_block(self, block: bytes) -> None:
        for start, end in event_spans(block):
            data = data_of(block[start:end])
            if data and data.rstrip() != DONE:
                self._read(block[start:end], data)

    def _event(self, data: bytes) -> bool:
        self._state.read(data)
        self._begun = self._state.begun
        self._fail(self._state.error)
        return False

    def _failure(self, data: bytes) -> ProviderError:
        said = value(msgspec.Raw(data))
        return provider_error(data.decode("utf-8", "replace") if said is None else said)

    def _ended(self) -> bool:
        return self._state.finished

    _output = staticmethod(chunk_output)

    def estimated_output(self) -> int:
        """The count in the last chunk, which usually has one; otherwise an estimate."""
        return _estimated(self.report().usage, self._produced, self.events)

    def _reported(self) -> Report:
        return self._state.report(self._head)


class GenerateArray:
    """A `Scanner` for a stream without ``alt=sse``: one JSON array, in which each element is a chunk.

    If errors are redacted, the bytes from the mark of an error on are held back until its element ends.
    """

    __slots__ = (
        "_edge",
        "_head",
        "_held",
        "_held_bytes",
        "_produced",
        "_projection",
        "_redact",
        "_since",
        "_state",
        "events",
        "size",
    )

    sse = False
    readable = True

    def __init__(self, head: Head) -> None:
        self.size = 0
        self.events = 0
        self._head = head
        self._state = _State(head)
        self._produced = Produced(chunk_output, thought_output)
        self._projection = JsonProjection(_WITH_PARTS, self._element)
        self._redact: Redact | None = None
        self._edge = b""  # the last bytes before, to find a mark across a cut
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._since = 0  # how many elements had ended at the last mark

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Always false: a body is read completely."""
        return False

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now."""
        self.size += len(data)
        self._projection.feed(data)
        if self._redact is None:
            return data
        edge = self._edge + data
        self._edge = edge[1 - len(ERROR) :]
        if ERROR in edge:
            self._since = self.events
        elif not self._held:
            return data
        self._held.append(data)
        self._held_bytes += len(data)
        decided = self._state.error is not None or self.events > self._since
        return self._let_go() if decided or self._held_bytes > HOLD_LIMIT else b""

    def finish(self) -> bytes:
        """The answer ended cleanly: return what was still held back."""
        return self._let_go()

    def redact_errors(self, redact: Redact) -> None:
        """Pass on errors without what ``redact`` removes."""
        self._redact = redact

    def _let_go(self) -> bytes:
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return self._redact(held) if held and self._redact is not None and self._state.error is not None else held

    @property
    def begun(self) -> bool:
        """An element had output, a reason to stop, or a blocked prompt."""
        return self._state.begun

    @property
    def ended(self) -> bool:
        """The array was closed after a reason to stop, and no element was an error."""
        projection = self._projection
        closed = projection.closed and not projection.invalid
        return closed and self._state.finished and self._state.error is None

    @property
    def error(self) -> ProviderError | None:
        """An element was an error."""
        return self._state.error

    @property
    def at_boundary(self) -> bool:
        """False once the array has begun: no error event can be added inside it."""
        return not self.size

    def report(self) -> Report:
        """What the provider stated so far."""
        return self._state.report(self._head)

    def estimated_output(self) -> int:
        """The count in the last element, which usually has one; otherwise an estimate."""
        return _estimated(self.report().usage, self._produced, self.events)

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Call ``call`` once more than ``tokens`` more of output have passed."""
        self._produced.at(tokens, call)

    def _element(self, document: bytes) -> None:
        if self.events >= self._produced.next:
            self._produced.one(document, self.events)
        self.events += 1
        self._state.read(document)


def read_generated(body: bytes, head: Head) -> Body | None:
    """A whole body of generateContent."""
    chunk = read_strictly(_chunk, unwrapped(body))
    if chunk is None:
        return None
    state = _State(head)
    state.take(chunk)
    candidates = read_strictly(_candidates, chunk.candidates) or []
    shaped = state.finished or (is_list(chunk.candidates) and bool(candidates or given(chunk.usageMetadata)))
    return Body(state.report(head, ended=True), shaped and not is_array(body), state.error)


def read_embedded(body: bytes, head: Head) -> Body | None:
    """A whole body of embedContent or batchEmbedContents: vectors are no output."""
    chunk = read_strictly(_chunk, unwrapped(body))
    if chunk is None:
        return None
    state = _State(head)
    state.take(chunk)
    report = state.report(head, ended=True)
    if report.usage is not None:
        report.usage.out_visible = 0
    return Body(report, given(chunk.embedding) or given(chunk.embeddings), state.error)


def read_counted(body: bytes, head: Head) -> Body | None:  # noqa: ARG001 - one signature for all readers
    """A token count of a prompt. Nothing was used, and nothing is billed."""
    counted = read_strictly(_counted, unwrapped(body))
    if counted is None:
        return None
    stated = {
        "totalTokens": value(counted.totalTokens),
        "cachedContentTokenCount": value(counted.cachedContentTokenCount),
    }
    usage = counted_tokens(stated)
    error = provider_error(value(counted.error)) if truthy(counted.error) else None
    return Body(Report(usage), usage is not None, error)
