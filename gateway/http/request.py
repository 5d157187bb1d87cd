"""Reads a client's token, query and body, each within bounds.

This module does not interpret a body. Bodies are read only after the token was accepted and the processing
mode allows it (`exchange`), so that a refused request costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import (
    ConcurrencyLimited,
    InvalidRequest,
    Overloaded,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedEncoding,
)
from gateway.http.codings import Corrupt, TooMuch, codings_of, decoder
from gateway.http.fields import fields_of
from gateway.http.shares import FairBudget, Share
from gateway.http.slices import Slices
from metering.numbers import whole_number
from providers.steps import Steps

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

BODY_STALL_SECONDS: Final = 60.0
FORM_SECONDS: Final = 20.0  # for a whole form: its caller has no session that could be held to a share
MOST_CODINGS: Final = 1
MOST_MEMBERS: Final = 1_000  # gzip members or zstd frames of one body
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 262_144
TOKEN_HEADERS: Final = ("Authorization", "x-api-key", "x-goog-api-key")
"""Where a token may be, for OpenAI's, Anthropic's and Google's SDKs."""

_BYTES_RUNNING: Final = (
    "The request bodies of this account that are being sent fill its share of memory. Send fewer at once."
)
_KEYS_IN_QUERY: Final = frozenset({"key", "api_key", "access_token"})


def tokens_of(request: web.BaseRequest) -> Sequence[str]:
    """The caller's tokens from the headers that its SDKs use, in the order of `TOKEN_HEADERS`; often one."""
    headers = request.headers
    found = []
    for header in TOKEN_HEADERS:
        for value in headers.getall(header, ()):
            text = value
            if header == "Authorization":
                scheme, _, text = value.partition(" ")
                if scheme.lower() != "bearer":
                    continue
            if text := text.strip():
                found.append(text)
    return found


# What proxies, balancers, tunnels and content networks add to a request that they pass on (RFC 7239, RFC 9110 section
# 7.6.3, and the headers that came before them).
_ON_THE_WAY = frozenset((
    "forwarded", "via", "client-ip", "x-client-ip", "x-cluster-client-ip", "x-real-ip", "x-real-port", "x-remote-ip",
    "x-remote-addr", "x-host", "x-scheme", "x-proto", "x-url-scheme", "x-rewrite-url", "x-arr-ssl", "x-arr-log-id",
    "x-request-start", "true-client-ip", "front-end-https", "proxy-client-ip", "wl-proxy-client-ip", "cdn-loop",
    "x-varnish", "x-proxyuser-ip", "x-coming-from", "x-tunnel-authorization", "x-arr-clientcert",
))  # fmt: skip
_ON_THE_WAY_BEGIN = (
    "x-forwarded", "forwarded-", "x-original-", "x-proxy-", "x-envoy-", "x-amzn-", "x-amz-cf-", "x-azure-",
    "x-appengine-", "x-cloud-trace-", "x-vercel-", "x-nf-", "x-akamai-", "x-ms-", "cf-", "fastly-", "fly-", "ngrok-",
    "tailscale-",
)  # fmt: skip


def came_through_a_proxy(request: web.BaseRequest) -> bool:
    """Whether anything shows that a proxy forwarded the request.

    HTTP/1.0 says so as well: no browser speaks it, and it is how nginx asks by default, without a header of its own.
    """
    if request.version < HttpVersion11:
        return True
    names = (name.lower().replace("_", "-") for name in request.headers)
    return any(name in _ON_THE_WAY or name.startswith(_ON_THE_WAY_BEGIN) for name in names)


def refuse_key_in_query(query: str) -> None:
    """Refuse a key in the URL, since the logs of every proxy would contain it.

    Raises:
        InvalidRequest: There is one; the message names the headers to use. Or the query has too many fields.
    """
    for name, _value in fields_of(query):
        if name in _KEYS_IN_QUERY:
            raise InvalidRequest(
                "A key in the URL ends up in logs and is refused. Send it in the x-goog-api-key header (Google SDKs), "
                "x-api-key (Anthropic) or Authorization: Bearer (OpenAI).",
                param="key",
            )


def body_budget(limit: int, part: float = 0.5) -> FairBudget:
    """Bounds the bytes of request bodies that one worker holds at a time, copies of them included.

    Args:
        limit: Of all callers together.
        part: The part of it that one caller may have.
    """
    own = partial(ConcurrencyLimited, _BYTES_RUNNING, retry_after=1.0)
    return FairBudget(limit, part, own=own, full=Overloaded, never=RequestTooLarge)


def request_budget(limit: int, part: float = 0.5) -> FairBudget:
    """Limits the requests that run at one worker, in addition to the limits of plans."""
    full = partial(Overloaded, "This server runs its maximum of requests. Retry: another server may answer.")
    return FairBudget(limit, part, own=partial(ConcurrencyLimited, retry_after=1.0), full=full, never=full)


async def read_body(request: web.BaseRequest, limit: int, share: Share, seconds: float, slices: Slices) -> bytes:
    """The request's body, of at most ``limit`` bytes, decoded in ``slices``. The caller's share has what is held of it.

    Raises:
        RequestTooLarge: More than ``limit`` bytes, before or after decoding, or more than one caller may ever hold.
        UnsupportedEncoding: A content coding other than gzip, deflate and zstd, or several on top of each other.
        RequestTimeout: It was not complete within ``seconds``, or no byte arrived for `BODY_STALL_SECONDS`.
        InvalidRequest: The framing or the compressed data is broken.
        ConcurrencyLimited: The caller holds as many bytes as it may.
        Overloaded: The worker does.
    """
    headers = request.headers
    codings = codings_of(headers.getall("Content-Encoding", ()))
    if codings is None or len(codings) > MOST_CODINGS:
        raise UnsupportedEncoding
    stated = headers.get("Content-Length")
    if stated is not None:
        length = whole_number(stated, limit)
        if length is None:  # the parser has seen that it is a number
            raise RequestTooLarge
        share.expect(length)
    if "Expect" in headers and headers["Expect"].lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    try:
        if content.is_eof():
            body = content.read_nowait(-1)
            share.grow(len(body))
        else:
            body = await _read_all(content, limit, share, seconds)
    except (RequestPayloadError, HttpProcessingError, ValueError):
        raise InvalidRequest("The request body's framing is broken.") from None
    if len(body) > limit:
        raise RequestTooLarge
    if codings:
        packed = len(body)
        body = await slices.run(_decode(body, codings, limit, share), share.holder)
        share.shrink(packed)
    return body


async def _read_all(content: StreamReader, limit: int, share: Share, seconds: float) -> bytes:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    first, whole, total = b"", None, 0
    while True:
        try:
            async with asyncio.timeout_at(min(until, loop.time() + BODY_STALL_SECONDS)):
                piece = await content.readany()
        except TimeoutError:
            raise RequestTimeout from None
        if not piece:
            return first if whole is None else whole.getvalue()
        total += len(piece)
        if total > limit:
            raise RequestTooLarge
        share.grow(len(piece))
        if whole is not None:
            whole.write(piece)
        elif first:
            whole = BytesIO()
            whole.write(first)
            whole.write(piece)
        else:
            first = piece


def _decode(body: bytes, codings: Sequence[str], limit: int, share: Share) -> Steps[bytes]:
    """Decompress within ``limit``, a piece a step: a small body may not become a large one. The share grows by what
    comes out.
    """
    decoding = decoder(codings, limit=limit, members=MOST_MEMBERS)
    whole = BytesIO()
    try:
        for piece in decoding.feed(body):
            share.grow(len(piece))
            whole.write(piece)
            yield
    except Corrupt:
        raise InvalidRequest("The request body cannot be decompressed.", param="content-encoding") from None
    except TooMuch:
        raise RequestTooLarge from None
    if not decoding.whole:
        raise InvalidRequest("The compressed request body is incomplete.", param="content-encoding")
    return whole.getvalue()


async def linger(request: web.BaseRequest) -> None:
    """Read on for a moment after a refusal, so that the client sees the answer and not a reset.

    At most `LINGER_SECONDS` and `LINGER_BYTES` (RFC 9112 section 9.6); what is read is dropped.
    """
    content = request.content
    count = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while not content.is_eof() and count < LINGER_BYTES:
                count += len(await content.readany())
    except (TimeoutError, RequestPayloadError, HttpProcessingError, ConnectionError):
        return
