"""Builds the client's side of a provider's answer: which headers pass, what is scanned, what is held."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from aiohttp import web
from multidict import CIMultiDict

from gateway.errors import GatewayError
from gateway.http.answers import SERVER_NAME, rate_limit_headers, sentence
from gateway.inference.relay import Relay
from gateway.upstream.connection import Headers
from metering.ledger.ledger import Window
from metering.usage import Report
from providers.dialect import Family, Head, Operation, ProviderError, Scanner, Wire
from providers.errors import error_event
from providers.headers import response_headers

DECODED_BOUND = 64 << 20  # bytes of an answer that was encoded against our word, decoded for scanning


class Encoded:
    """A scanner for an answer that came compressed although identity was asked for.

    The client gets the provider's bytes as they are; a decoded copy passes the real scanner. Where the
    usage event must be hidden the bytes can't be passed as they are: then the decoded ones are.
    """

    def __init__(self, inner: Scanner, *, rewrite: bool) -> None:
        self._inner = inner
        self._inflater = zlib.decompressobj(wbits=47)  # gzip or zlib
        self._decoded = 0
        self._rewrite = rewrite
        self._broken = False
        self.size = 0
        self.events = 0

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Never: what passes is compressed."""
        return False

    def feed(self, data: bytes) -> bytes:
        if self._broken:
            return b"" if self._rewrite else data
        try:
            plain = self._inflater.decompress(data, DECODED_BOUND - self._decoded)
        except zlib.error:
            self._broken = True
            return b"" if self._rewrite else data
        self._decoded += len(plain)
        self._broken = self._decoded >= DECODED_BOUND
        passed = self._inner.feed(plain) if plain else b""
        self.size, self.events = self._inner.size, self._inner.events
        return passed if self._rewrite else data

    def finish(self) -> bytes:
        rest = self._inner.finish()
        return rest if self._rewrite else b""

    @property
    def sse(self) -> bool:
        return self._rewrite and self._inner.sse

    @property
    def begun(self) -> bool:
        return self._inner.begun

    @property
    def ended(self) -> bool:
        return self._inner.ended

    @property
    def at_boundary(self) -> bool:
        return self._rewrite and self._inner.at_boundary  # nothing can be added to a compressed stream

    @property
    def error(self) -> ProviderError | None:
        return self._inner.error

    def report(self) -> Report:
        return self._inner.report()

    def estimated_output(self) -> int:
        return self._inner.estimated_output()


def _value(headers: Headers, name: bytes) -> bytes:
    for key, value in headers:
        if key == name:
            return value
    return b""


def is_sse(headers: Headers) -> bool:
    return _value(headers, b"content-type").lower().startswith(b"text/event-stream")


def scanner_of(wire: Wire, head: Head, status: int, headers: Headers) -> tuple[Scanner | None, bool]:
    """The scanner of an answer's body, and whether the body flows as it comes.

    An error is held whatever its content type: Google labels errors of streaming calls as event
    streams. A good answer flows when it is an event stream or the caller asked for a stream.
    """
    if not 200 <= status < 300:
        return None, False
    sse = is_sse(headers)
    scanner = wire.scanner(head, sse=sse)
    encoding = _value(headers, b"content-encoding").lower()
    if encoding in {b"gzip", b"x-gzip", b"deflate"}:
        return Encoded(scanner, rewrite=sse and not head.wants_usage), sse or head.stream
    if encoding not in {b"", b"identity"}:
        return None, sse or head.stream
    return scanner, sse or head.stream


def cut_event(operation: Operation, error: GatewayError, rid: str, *, events: int, sse: bool) -> bytes:
    """The error event for the end of a stream that was cut after ``events``, or nothing where the dialect has none."""
    return error_event(
        operation,
        error.status,
        error.code,
        sentence(error),
        request_id=rid,
        retry_after=error.retry_after,
        sequence=events,
        sse=sse,
    )


def _headers(relay: Relay, family: Family, rid: str, provider: str) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    rewritten = isinstance(relay.scanner, Encoded) and relay.scanner._rewrite  # noqa: SLF001 - same module
    for name, value in response_headers(family, relay.headers):
        if rewritten and name == b"content-encoding":
            continue
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    encoding = _value(relay.headers, b"content-encoding")
    if encoding and not rewritten:
        headers["Content-Encoding"] = encoding.decode("latin-1")
    headers["x-request-id"] = rid
    if family is Family.ANTHROPIC:
        headers["request-id"] = rid
    headers["x-provider"] = provider
    headers["Server"] = SERVER_NAME
    return headers


def begin_stream(
    relay: Relay, family: Family, rid: str, provider: str, windows: Sequence[Window] = ()
) -> web.StreamResponse:
    """The response whose body the relay writes; ``windows`` are the caller's limits, told in its headers."""
    headers = _headers(relay, family, rid, provider)
    if windows:
        headers.update(rate_limit_headers(windows))
    if not 200 <= relay.status < 300:
        headers["x-error-origin"] = "provider"
    response = web.StreamResponse(status=relay.status, headers=headers)
    hidden = relay.scanner is not None and is_sse(relay.headers)
    length = _value(relay.headers, b"content-length")
    if length.isdigit() and not hidden:
        response.content_length = int(length)
    return response


def held_response(
    relay: Relay,
    family: Family,
    rid: str,
    provider: str,
    *,
    charge: int,
    balance: int,
    held: int,
    windows: Sequence[Window] = (),
) -> web.Response:
    """A whole answer, with what it cost and the caller's limits in its headers.

    Args:
        relay: The answer.
        family: Whose form the headers have.
        rid: The request.
        provider: Who answered.
        charge: Micro-credits.
        balance: The account's micro-credits before this charge, what running requests hold included.
        held: What other requests of the account hold.
        windows: The caller's limits.
    """
    headers = _headers(relay, family, rid, provider)
    if windows:
        headers.update(rate_limit_headers(windows))
    if 200 <= relay.status < 300:
        headers["x-credits-charged"] = str(charge)
        headers["x-credits-remaining"] = str(balance - charge)
        headers["x-credits-held"] = str(held)
    else:
        headers["x-error-origin"] = "provider"
    return web.Response(body=relay.held(), status=relay.status, headers=headers)
