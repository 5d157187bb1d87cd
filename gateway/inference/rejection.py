"""A provider's error: as a status with a body, or inside a 2xx before any output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.http.codings import Corrupt, TooMuch, codings_of, decoder
from gateway.inference.answer import Answer, Ending
from gateway.inference.relay import Relay
from metering import clock
from providers.hosts.host import Host
from providers.redaction import LONGEST_ERROR
from providers.retry import retry_delay

UNSTATED: Final = 502  # what an error inside a 2xx means that does not say its status


@dataclass(frozen=True, slots=True)
class Rejection:
    """What is judged and forwarded instead of an answer.

    Attributes:
        status: The HTTP status, or the one that the error means.
        body: The error as the provider sent it, without a content coding; ``None`` if it is too long or broken. It may
            quote the request: it is neither logged nor shown.
        wait: Seconds to wait, if stated.
        inside: It arrived inside a 2xx.
    """

    status: int
    body: bytes | None = field(repr=False)
    wait: float | None
    inside: bool


def rejection_of(relay: Relay, answer: Answer, host: Host) -> Rejection | None:
    """The error of an attempt that ended in one; ``None`` for every other ending, and for an end without an error.

    It has the form and the status of the dialect, whichever ``host`` sent it.
    """
    if answer.ending is Ending.REFUSED:
        body = _decoded(relay)
        wait = retry_delay(relay.headers, body or b"", clock.now_ms() / 1000)
        said = None if body is None else host.error(relay.status, relay.headers, body)
        if said is not None:
            return Rejection(said.status, said.body, wait, inside=False)
        return Rejection(relay.status, body, wait, inside=False)
    if answer.ending is Ending.FAILED and answer.error is not None:
        error = answer.error
        return Rejection(error.status, error.body, error.retry_after, inside=True)
    return None


def _decoded(relay: Relay) -> bytes | None:
    if not relay.over or relay.fault is not None or relay.watch.flows:
        return None
    body = relay.held()
    codings = codings_of([value.decode("latin-1") for name, value in relay.headers if name == b"content-encoding"])
    if codings is None or len(body) > LONGEST_ERROR:
        return None
    if not codings or not body:
        return body
    undone = decoder(codings, limit=LONGEST_ERROR)
    try:
        plain = b"".join(undone.feed(body))
    except (Corrupt, TooMuch):
        return None
    return plain if undone.whole else None
