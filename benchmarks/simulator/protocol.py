"""One client connection: requests in through httptools, the steps of an answer out.

Rules:

1. Answers leave in the order of the requests; a pipelined request waits for the one before.
2. Nothing is produced while the peer does not read: `pause_writing` parks the answer.
3. A connection that ends while an answer is under way counts as aborted by the peer.
4. A reset is sent when the peer has read what was sent before, since its kernel throws away what it has not read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools

from benchmarks.simulator.controls import Controls
from benchmarks.simulator.exchange import Act, Call, Final, Reply, Step, next_number
from benchmarks.simulator.faults import closes, script
from benchmarks.simulator.ledger import Bill, Recorded

if TYPE_CHECKING:
    from benchmarks.simulator.server import Simulator

_RESET = struct.pack("ii", 1, 0)
_LINGER_S = 5.0
_UNREAD_MS = 5  # between two looks whether the peer has read everything
_LOOKS = 1_000
_TCP_TABLE = Path("/proc/net/tcp")


class Connection(asyncio.Protocol):
    """See the module. Created by the server's protocol factory."""

    def __init__(self, server: Simulator) -> None:
        self.server = server
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any other callback
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[Call] = deque()
        self.call: Call | None = None  # the one being answered
        self.steps: Iterator[Step] = iter(())
        self.pace = 0.0  # milliseconds between two events
        self.clock = 0.0  # when the next one is due; fractions of a tick add up
        self.ends = False  # the connection ends with the current answer
        self.paused = False
        self.parked = False
        self.discarding = False
        self.looks = 0  # whether the peer had read everything, before a reset
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []

    # --- connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream server makes transports
        self.server.connections.add(self)
        self.server.ledger.opened()
        if "refuse" in self.server.defaults.faults:
            self.server.strike()
            self.transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.server.connections.discard(self)
        if self.call is not None:
            self.finish("aborted")
        self.server.ledger.closed()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.parked:
            self.parked = False
            self.server.wheel.at(self.server.wheel.now(), self)

    def reset(self) -> None:
        """Send RST: linger zero, then close."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    # --- request

    def data_received(self, data: bytes) -> None:
        if self.discarding:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.close()
        except httptools.HttpParserCallbackError as error:
            self.transport.abort()
            raise error.__context__ or error from None  # a defect of the simulator, not of the peer
        except httptools.HttpParserError:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.body = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        if name[:6].lower() == b"expect":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        if "early_413" in self.server.defaults.faults or b"fault=early_413" in self.url:
            self.too_large()

    def on_body(self, data: bytes) -> None:
        if not self.body and b"fault=early_413" in data[:4096] and not self.discarding:
            self.too_large()
        self.body.append(data)

    def too_large(self) -> None:
        """Answer before the body was read, close our side, discard what still arrives."""
        self.discarding = True
        bill = Bill(id=f"early-{next_number()}", status=413)
        self.server.ledger.received(bill)
        self.server.strike()
        body = b'{"error":{"message":"too large","type":"invalid_request_error","param":null,"code":null}}'
        self.transport.write(
            b"HTTP/1.1 413 Payload Too Large\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.server.ledger.ended(bill, "completed")
        self.server.loop.call_later(_LINGER_S, self.transport.close)

    def on_message_complete(self) -> None:
        if self.discarding:
            return
        target = self.url
        path, _, query = target.partition(b"?")
        call = Call(
            method=self.parser.get_method().decode(),
            path=unquote(path.decode("latin-1")),
            query=unquote(query.decode("latin-1")),
            headers=self.headers,
            body=self.body[0] if len(self.body) == 1 else b"".join(self.body),
            keep_alive=self.parser.should_keep_alive(),
            bill=Bill(id=""),
            controls=_NONE,
            number=next_number(),
        )
        if call.path.startswith("/__sim__/"):
            reply = self.server.control(call)
            self.begin(call, reply)
            return
        ledger = self.server.ledger
        if ledger.record:
            headers = tuple((key.decode("latin-1"), value.decode("latin-1")) for key, value in self.headers)
            ledger.requests.append(Recorded(call.method, target.decode("latin-1"), headers, call.body))
        if self.call is None:
            self.answer(call)
        else:
            self.waiting.append(call)

    # --- answer

    def answer(self, call: Call) -> None:
        reply = self.server.answer(call)
        call.bill.status = reply.status
        self.server.ledger.received(call.bill)
        self.begin(call, reply)

    def begin(self, call: Call, reply: Reply) -> None:
        self.call = call
        self.steps = script(call, reply)
        self.ends = closes(call)
        self.pace = call.controls.pace if reply.streamed else 0.0
        wheel = self.server.wheel
        start = wheel.now() + int(call.controls.first)
        self.clock = float(start)
        if call.controls.first:
            wheel.at(start, self)
        else:
            self.due(start)

    def due(self, slot: int) -> None:
        """Take steps until the next one is not due yet, the peer stops reading or the answer ends."""
        if self.call is None:
            return
        steps, write, pace = self.steps, self.transport.write, self.pace
        while True:
            step = next(steps)
            if type(step) is bytes:
                write(step)
                if self.paused:
                    self.parked = True
                    return
                if pace:
                    self.clock = max(self.clock, slot - 1.0) + pace
                    if self.clock >= slot + 1:
                        self.server.wheel.at(int(self.clock), self)
                        return
            elif type(step) is Final:
                write(step)
                self.finish("completed")
                return
            elif type(step) is int:
                wheel = self.server.wheel
                wheel.at(wheel.now() + step, self)
                return
            else:
                self.act(step)
                return

    def act(self, act: Any) -> None:
        """Do to the connection what the fault says; a hang stays open until the peer leaves."""
        if act is Act.HANG:
            self.steps = iter((Act.HANG,))
            return
        if act is Act.RESET and self.looks < _LOOKS and _has_unread(self.transport.get_extra_info("socket")):
            self.looks += 1
            self.steps = iter((Act.RESET,))
            self.server.wheel.at(self.server.wheel.now() + _UNREAD_MS, self)
            return
        self.finish("faulted", go_on=False)
        if act is Act.RESET:
            self.reset()
        elif act is Act.RAGGED:
            self.transport.abort()
        else:
            self.transport.close()

    def finish(self, outcome: str, *, go_on: bool = True) -> None:
        """Close the bill; on a live connection answer the next request or close."""
        call, self.call = self.call, None
        if call is not None and call.bill.id:
            self.server.ledger.ended(call.bill, outcome)
        if outcome != "completed" or not go_on:
            return
        if self.ends:
            self.transport.close()
        elif self.waiting:
            self.answer(self.waiting.popleft())


def _has_unread(sock: socket.socket | None) -> bool:
    """Whether the peer, on this machine, has bytes of this connection that it has not read (proc(5), /proc/net/tcp)."""
    if sock is None or sock.family != socket.AF_INET or not _TCP_TABLE.exists():
        return False
    peer, own = (_proc_name(*address) for address in (sock.getpeername(), sock.getsockname()))
    with _TCP_TABLE.open(encoding="ascii") as table:
        rows = (line.split(maxsplit=5) for line in table)
        return any(int(row[4].partition(":")[2], 16) > 0 for row in rows if row[1:3] == [peer, own])


def _proc_name(host: str, port: int) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


_NONE = Controls()
