"""From a reply to the steps on the wire: events bent by faults, then HTTP framing, then segments.

Each layer is an iterator over the one before, so that nothing is produced before it is due. Acts
and pauses pass through the framing untouched; what follows an act is never asked for.
"""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator

from benchmarks.simulator.controls import Controls
from benchmarks.simulator.exchange import REASONS, Act, Call, Event, Final, Last, Reply, Step

_MID = {"hang_mid": Act.HANG, "reset_mid": Act.RESET, "close_mid": Act.CLOSE, "ragged_mid": Act.RAGGED}
_BENT = frozenset((*_MID, "cut_event", "error_mid", "error_early", "malformed", "split", "coalesced"))
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n"
SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nsurplus"
SETTLE_MS = 5  # between the last bytes and a reset, so that they can leave


def script(call: Call, reply: Reply) -> Iterator[Step]:
    """Everything that happens on the connection in answer to this call."""
    faults = call.controls.faults
    if faults:
        if "refuse" in faults or "reset_before" in faults:
            call.bill.input = call.bill.output = 0  # no answer begins, and nothing is billed
            return iter((Act.CLOSE if "refuse" in faults else Act.RESET,))
        if "hang_headers" in faults:
            return iter((Act.HANG,))
    if isinstance(reply.content, bytes) and not faults:
        return iter((Final(_whole(call, reply, reply.content)),))
    steps = _framed(call, reply)
    if "slow_bytes" in faults:
        return _dribbled(steps)
    return steps


def closes(call: Call) -> bool:
    """Whether the connection ends with this answer."""
    faults = call.controls.faults
    return not call.keep_alive or not faults.isdisjoint(("no_length", "http10", "close_after"))


def _start(call: Call, reply: Reply) -> bytes:
    faults = call.controls.faults
    version = b"1.0" if "http10" in faults else b"1.1"
    start = b"HTTP/%b %d %b\r\n%b" % (version, reply.status, REASONS.get(reply.status, b"OK"), reply.headers)
    if "huge_headers" in faults:
        start += b"".join(b"x-filler-%d: %b\r\n" % (index, b"f" * 1000) for index in range(70))
    if "early_hints" in faults:
        start = EARLY_HINTS + start
    return start


def _whole(call: Call, reply: Reply, body: bytes) -> bytes:
    """A complete JSON answer in one piece, without faults: the fast path of short requests."""
    connection = b"Connection: keep-alive\r\n" if call.keep_alive else b"Connection: close\r\n"
    start = _start(call, reply)
    if reply.status != 200 or call.controls.length:
        return b"%bContent-Length: %d\r\n%b\r\n%b" % (start, len(body), connection, body)
    return b"%bTransfer-Encoding: chunked\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (start, connection, len(body), body)


def _framed(call: Call, reply: Reply) -> Iterator[Step]:
    controls = call.controls
    faults = controls.faults
    start = _start(call, reply)
    events = _events(call, reply)
    packer = None
    if "gzip" in faults:
        packer = zlib.compressobj(wbits=31)
        start += b"Content-Encoding: gzip\r\n"
    chunked = faults.isdisjoint(("no_length", "http10"))
    end = b""
    if not chunked:
        start += b"" if "http10" in faults else b"Connection: close\r\n"
    elif isinstance(reply.content, bytes) and packer is None and (reply.status != 200 or controls.length):
        start += b"Content-Length: %d\r\nConnection: keep-alive\r\n" % len(reply.content)
        chunked = False
    else:
        start += b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"
        end = b"0\r\n\r\n"
    if "surplus" in faults:
        end += SURPLUS
    head = start + b"\r\n"
    for event in events:
        if isinstance(event, (int, Act)):
            if head:
                yield head
                head = b""
            yield event
            continue
        parts = event if isinstance(event, tuple) else (event,)
        if packer is not None:
            parts = tuple(packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts)
        wire = b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts]) if chunked else b"".join(parts)
        if head:
            wire = head + wire
            head = b""
        if packer is None and type(event) is Last:
            yield Final(wire + end)
            return
        yield wire
    if packer is not None:
        rest = packer.flush()
        end = (b"%x\r\n%b\r\n" % (len(rest), rest) if chunked else rest) + end
    yield Final(head + end)


def _events(call: Call, reply: Reply) -> Iterator[Event | Act | int]:
    faults = call.controls.faults
    if isinstance(reply.content, bytes):
        events: Iterator[Event | Act] = iter((Last((reply.content,)),))
        if not faults.isdisjoint(_BENT) and reply.status == 200:
            half = len(reply.content) // 2
            if "malformed" in faults:
                return iter((reply.content[:half],))
            events = iter((reply.content[:half], reply.content[half:]))
    else:
        events = reply.content
    if reply.status != 200 or faults.isdisjoint(_BENT):
        return events
    return _bent(call, reply, events)


def _bent(call: Call, reply: Reply, events: Iterator[Event | Act]) -> Iterator[Event | Act | int]:
    controls = call.controls
    faults = controls.faults
    after = controls.strike_after(controls.chunks) if reply.streamed else 1
    if "coalesced" in faults:
        events = _coalesced(events)
    elif "split" in faults:
        yield from _split(events, random.Random(call.number))
        return
    for number, event in enumerate(events):
        if number == 0 and "error_early" in faults and reply.streamed:
            if isinstance(event, tuple):
                yield event[:-1]
            yield reply.error
            return
        if number == after and not faults.isdisjoint((*_MID, "error_mid")):
            yield from _strike(controls, reply)
            return
        if number == after and "cut_event" in faults and isinstance(event, (bytes, tuple)):
            last = event if isinstance(event, bytes) else event[0]
            yield last[: max(1, len(last) // 2)]
            yield Act.CLOSE
            return
        if number == after and "malformed" in faults and isinstance(event, (bytes, tuple)):
            yield _malformed(event)
            continue
        yield event
    # fewer events than ``at``: strike at the end, but before the terminating chunk
    if not faults.isdisjoint((*_MID, "error_mid", "cut_event")):
        yield from _strike(controls, reply)


def _strike(controls: Controls, reply: Reply) -> Iterator[Event | Act | int]:
    if "error_mid" in controls.faults:
        yield reply.error
        return
    yield SETTLE_MS
    yield next((act for name, act in _MID.items() if name in controls.faults), Act.CLOSE)


def _malformed(event: Event) -> Event:
    """The event with its JSON cut short, its framing intact."""
    if isinstance(event, tuple):
        return (_one_malformed(event[0]), *event[1:])
    return _one_malformed(event)


def _one_malformed(event: bytes) -> bytes:
    ending = b"\r\n\r\n" if event.endswith(b"\r\n\r\n") else b"\n\n"
    return event.removesuffix(ending)[: len(event) // 2] + ending


def _coalesced(events: Iterator[Event | Act], count: int = 4) -> Iterator[Event | Act]:
    while batch := list(itertools.islice(events, count)):
        parts: list[bytes] = []
        for event in batch:
            if isinstance(event, bytes):
                parts.append(event)
            elif isinstance(event, tuple):
                parts.extend(event)
        yield b"".join(parts)


def _split(events: Iterator[Event | Act], chance: random.Random) -> Iterator[Event | Act | int]:
    for event in events:
        if isinstance(event, Act):
            yield event
            continue
        data = event if isinstance(event, bytes) else b"".join(event)
        cuts = sorted(chance.sample(range(1, len(data)), min(3, len(data) - 1)))
        for low, high in itertools.pairwise((0, *cuts, len(data))):
            yield data[low:high]
            yield 1


def _dribbled(steps: Iterator[Step], size: int = 7) -> Iterator[Step]:
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        for start in range(0, len(step), size):
            piece = step[start : start + size]
            yield Final(piece) if type(step) is Final and start + size >= len(step) else piece
            yield 1
