"""Requests and answers for the timings: the simulator's own, produced without a socket."""

from __future__ import annotations

from benchmarks.load.payloads import payload
from benchmarks.simulator import Controls
from benchmarks.simulator.exchange import Call
from benchmarks.simulator.ledger import Bill
from benchmarks.simulator.routes import answer

PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "google": "/v1beta/models/bench:streamGenerateContent",
}


def request_body(dialect: str, prompt_bytes: int = 2000, *, stream: bool = True) -> bytes:
    """A request's body."""
    kind = "stream" if stream else "short"
    made = payload(kind, url="http://sim", token="none", dialect=dialect, model="bench", prompt_bytes=prompt_bytes)  # noqa: S106 - none
    return made.data.partition(b"\r\n\r\n")[2]


def stream_events(dialect: str, chunks: int = 200) -> list[bytes]:
    """The events of a stream, as they arrive one in a segment."""
    call = Call(
        method="POST",
        path=PATHS[dialect],
        query="alt=sse",
        headers=[],
        body=request_body(dialect),
        keep_alive=True,
        bill=Bill(id=""),
        controls=Controls(),
        number=1,
    )
    reply = answer(call, Controls(chunks=chunks, size=300), {}, frozenset())
    events: list[bytes] = []
    for event in reply.content if not isinstance(reply.content, bytes) else ():
        if isinstance(event, tuple):
            events.extend(event)
        elif isinstance(event, bytes):
            events.append(event)
    return events
