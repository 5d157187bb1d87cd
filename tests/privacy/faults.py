"""A gateway with faults of its own: `benchmarks.launch` starts it with this inside.

A prompt that says ``fault:NAME`` meets the fault of that name: an exception that quotes content, as one of a
parser or of a library might. Nothing but the gateway's own ways with it may see it. A body that stops is waited for
`STALL_SECONDS`.
"""

from __future__ import annotations

from gateway.http import request as inbound
from gateway.inference.relay import Relay
from gateway.upstream.connection import Connection

_read, _send, _hold, _flow = inbound.read_body, Connection.send, Relay._hold, Relay._flow
STALL_SECONDS = 3.0
FAULTY = set()  # relays whose answer's first bytes raise


async def reading(request, *bounds):
    """Before anything is held."""
    body = await _read(request, *bounds)
    if b"fault:reading" in body:
        raise ValueError(f"can't read {body!r} of {request.headers!r}")
    return body


def sending(self, pieces, relay, *more):
    """With the credits held, before the provider has a byte."""
    body = b"".join(pieces[1:])
    if b"fault:sending" in body:
        raise RuntimeError("can't send", pieces, body)
    if b"fault:relaying" in body:
        FAULTY.add(relay)
    _send(self, pieces, relay, *more)


def _faulty(method):
    """In a callback of the event loop, with the answer's bytes."""

    def relaying(self, data):
        if self in FAULTY:
            raise KeyError(data)
        method(self, data)

    return relaying


def install(_text: str) -> None:
    inbound.read_body = reading
    inbound.BODY_STALL_SECONDS = STALL_SECONDS
    Connection.send = sending
    Relay._hold, Relay._flow = _faulty(_hold), _faulty(_flow)
