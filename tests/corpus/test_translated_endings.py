"""Recorded streams, cut and damaged, through the translation of every pair: a clean end, or a clean error, or neither.

What is passed on looks complete exactly if the answer ended well, and a failure before any output can still become a
status. The endings are those of the native answer, but for one that cannot be told in the caller's dialect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import pytest

from gateway.inference.answer import Ending, ending_of
from gateway.upstream.faults import Fault
from providers.conversation.conversation import Conversation, Dialect
from providers.conversation.dialects import answer_reader
from providers.conversation.translated_answer import TranslatedBody, TranslatedStream
from providers.conversation.translator import DIALECTS, Translation
from providers.dialect import Head, Operation, Scanner
from providers.wires import WIRES
from tests.corpus.recordings import CORPUS, NO_CORPUS, Recording, served

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=NO_CORPUS)

HOSTS = {
    Operation.OPENAI_CHAT: Dialect.CHAT,
    Operation.OPENAI_RESPONSES: Dialect.RESPONSES,
    Operation.ANTHROPIC_MESSAGES: Dialect.MESSAGES,
    Operation.GEMINI_STREAM: Dialect.GEMINI,
}
CALLERS = {dialect: operation for operation, dialect in HOSTS.items()}
PAIRS = [(host, caller) for host in HOSTS.values() for caller in CALLERS if caller is not host]
EACH = 8  # recordings of a host
LARGEST = 60_000
ASKED = Conversation(turns=(), reasoning=True, stream=True)


BODIES = HOSTS | {Operation.GEMINI_GENERATE: Dialect.GEMINI}


@pytest.fixture(scope="module")
def streams() -> dict[Dialect, list[Recording]]:
    """Some good streams of each dialect, short ones and long ones."""
    return some(sse=True)


@pytest.fixture(scope="module")
def bodies() -> dict[Dialect, list[Recording]]:
    """Some good answers of each dialect that are one object."""
    return some(sse=False)


def some(*, sse: bool) -> dict[Dialect, list[Recording]]:
    found: dict[Dialect, list[Recording]] = {dialect: [] for dialect in HOSTS.values()}
    for recording in served():
        dialect = BODIES.get(recording.operation)
        if (
            dialect is not None
            and recording.sse is sse
            and recording.good
            and len(recording.body) < LARGEST
            and whole(recording)
        ):
            found[dialect].append(recording)
    return {dialect: each[:: max(1, len(each) // EACH)][:EACH] for dialect, each in found.items()}


def whole(recording: Recording) -> bool:
    """Whether the answer ended well."""
    scanner = WIRES[recording.operation].scanner(Head("m", stream=recording.sse), sse=recording.sse)
    scanner.feed(recording.body)
    scanner.finish()
    return scanner.ended


@dataclass
class Passed:
    """What became of a stream, with the scanner of the provider's dialect alone and inside the translation."""

    native: Scanner
    scanner: TranslatedStream
    out: bytes

    @property
    def looks_complete(self) -> bool:
        """To a client of the caller's dialect."""
        reader = answer_reader(DIALECTS[self.scanner._translation.operation])
        events = reader.feed(self.out)
        if not reader.done:
            events += reader.finish()
        return bool(events) and not reader.failed


def passed(recording: Recording, caller: Dialect, body: bytes, draw: Random, *, fault: bool) -> Passed:
    """A stream in pieces of any size; with a ``fault`` nothing says that it is over."""
    head, wire = Head("m", stream=True), WIRES[recording.operation]
    host = HOSTS[recording.operation]
    translation = Translation(CALLERS[caller], b"", ASKED, "m", "id1", True, host)
    scanner, native = TranslatedStream(wire.scanner(head, sse=True), translation, "req_1"), wire.scanner(head, sse=True)
    out = []
    at = 0
    while at < len(body):
        size = draw.choice((1, 7, 60, 700, 9_000))
        piece = body[at : at + size]
        out.append(scanner.feed(piece))
        native.feed(piece)
        at += size
    if not fault:
        out.append(scanner.finish())
        native.finish()
    return Passed(native, scanner, b"".join(out))


def ending(scanner: Scanner, *, fault: bool) -> Ending:
    ended, error = scanner.ended, scanner.error
    return ending_of(
        status=200, over=True, fault=Fault.CLOSED if fault else None, ended=ended, begun=scanner.begun, error=error
    )


def check(found: Passed, *, fault: bool) -> Ending:
    """The rules of this module. Returns how the translated answer ended."""
    native, translated = ending(found.native, fault=fault), ending(found.scanner, fault=fault)
    error = found.scanner.error
    if error is not None and error.late:
        return translated
    assert found.looks_complete == (translated is Ending.WHOLE)
    if translated is Ending.WHOLE:
        assert native is Ending.WHOLE
    else:  # an answer that its provider ended may be one that cannot be told, or not be over here
        assert translated is (Ending.BROKEN if found.scanner.begun else Ending.FAILED)
        assert native in {translated, Ending.WHOLE}
    if found.out:
        assert found.out.endswith((b"\n\n", b"\r\n\r\n")), "an error event can follow"
    stopped = ending_of(
        status=200, over=False, fault=None, ended=found.scanner.ended, begun=found.scanner.begun, error=error
    )
    assert stopped in {translated, Ending.STOPPED}
    return translated


def damages(body: bytes, draw: Random) -> Iterator[bytes]:
    """The body with bytes changed, left out, doubled, or with those of another answer in it."""
    at, size = draw.randrange(len(body)), draw.choice((1, 3, 40, 500))
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: body[:at] + bytes([draw.randrange(256)]) + body[at + 1 :],
        lambda: body[:at] + body[at + size :],
        lambda: body[: at + size] + body[at:],
        lambda: (
            body[:at] + draw.choice((b'"', b"{", b"}]", b"null", b"\n\n", b"data: ", b"\xff", b"[DONE]")) + body[at:]
        ),
        lambda: body[:at] + b'\n\ndata: {"error":{"message":"x","type":"server_error","code":503}}\n\n' + body[at:],
        lambda: body.replace(b"stop", b"length", 1),
    )
    yield from (change() for change in changes)


@pytest.mark.parametrize(("host", "caller"), PAIRS, ids=str)
def test_a_stream_ends_well_or_looks_cut(
    streams: dict[Dialect, list[Recording]], host: Dialect, caller: Dialect
) -> None:
    seen: Counter[Ending] = Counter()
    for recording in streams[host]:
        draw = Random(f"{recording.id} {caller}")
        body = recording.body
        assert check(passed(recording, caller, body, draw, fault=False), fault=False) is Ending.WHOLE, recording.id
        cuts = [0, 1, *(draw.randrange(len(body)) for _ in range(5)), len(body) - 2]
        for cut in cuts:
            for fault in (False, True):
                seen[check(passed(recording, caller, body[:cut], draw, fault=fault), fault=fault)] += 1
        for damaged in damages(body, draw):
            seen[check(passed(recording, caller, damaged, draw, fault=False), fault=False)] += 1
    assert seen[Ending.FAILED] > EACH, seen
    assert seen[Ending.BROKEN] > EACH, seen
    assert set(seen) <= {Ending.FAILED, Ending.BROKEN, Ending.WHOLE}


@pytest.mark.parametrize(("host", "caller"), PAIRS, ids=str)
def test_an_object_is_passed_on_whole_or_not_at_all(
    bodies: dict[Dialect, list[Recording]], host: Dialect, caller: Dialect
) -> None:
    asked = Conversation(turns=(), reasoning=True)
    seen: Counter[Ending] = Counter()
    for recording in bodies[host]:
        draw = Random(f"{recording.id} {caller}")
        body = recording.body
        cuts = [body[: draw.randrange(len(body))] for _ in range(4)]
        for sent in (body, *cuts, *damages(body, draw)):
            native = WIRES[recording.operation].scanner(Head("m"), sse=False)
            scanner = TranslatedBody(native, Translation(CALLERS[caller], b"", asked, "m", "id1", False, host))
            assert scanner.feed(sent) == b""
            out = scanner.finish()
            ended = ending(scanner, fault=False)
            assert bool(out) == (ended is Ending.WHOLE)
            if out:
                reader = answer_reader(caller)
                reader.whole(out)
                assert not reader.failed
            assert sent is not body or ended is Ending.WHOLE, recording.id
            seen[ended] += 1
    assert seen[Ending.WHOLE] >= EACH, seen
    assert seen.total() > seen[Ending.WHOLE] + EACH, seen
