"""Reads what a client sends: its token, its query and its body, each within bounds.

Nothing here looks into a body. Bodies are read only after the token was accepted and the processing
mode allows it (`exchange`), so that a refused request costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qsl

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import InvalidRequest, Overloaded, RequestTimeout, RequestTooLarge, UnsupportedEncoding
from gateway.http.codings import Corrupt, TooMuch, codings_of, decoder

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

BODY_STALL_SECONDS: Final = 60.0
MOST_CODINGS: Final = 1
MOST_MEMBERS: Final = 1_000  # gzip members or zstd frames of one body
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 262_144
TOKEN_HEADERS: Final = ("Authorization", "x-api-key", "x-goog-api-key")
"""Where a token may be, for OpenAI's, Anthropic's and Google's SDKs."""

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


def address_of(request: web.BaseRequest, behind_proxy: bool) -> str:
    """Where a request comes from; behind a proxy, what that proxy itself appended to ``X-Forwarded-For``."""
    if behind_proxy:
        forwarded = request.headers.getall("X-Forwarded-For", ())
        if forwarded:
            return forwarded[-1].rpartition(",")[2].strip()
    return request.remote or ""


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
    """Whether anything says that the request was passed on by a proxy, whoever runs it.

    HTTP/1.0 says so as well: no browser speaks it, and it is how nginx asks by default, without a header of its own.
    """
    if request.version < HttpVersion11:
        return True
    names = (name.lower().replace("_", "-") for name in request.headers)
    return any(name in _ON_THE_WAY or name.startswith(_ON_THE_WAY_BEGIN) for name in names)


def refuse_key_in_query(query: str) -> None:
    """Refuse a key in the URL, where the logs of every proxy on the way would keep it.

    Raises:
        InvalidRequest: The message names the headers to use.
    """
    for name, _value in parse_qsl(query, keep_blank_values=True, max_num_fields=64):
        if name in _KEYS_IN_QUERY:
            raise InvalidRequest(
                "A key in the URL ends up in logs and is refused. Send it in the x-goog-api-key header (Google SDKs), "
                "x-api-key (Anthropic) or Authorization: Bearer (OpenAI).",
                param="key",
            )


class BodyBudget:
    """Bounds the bytes of request bodies that one worker holds at a time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def hold(self) -> BodyShare:
        """A share that grows with `BodyShare.grow` and is given back at the end of its ``with`` block."""
        return BodyShare(self)


class BodyShare:
    __slots__ = ("_budget", "size")

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._budget.used -= self.size
        self.size = 0

    def grow(self, count: int) -> None:
        """Account for ``count`` more bytes. Raises `Overloaded` over the worker's bound."""
        budget = self._budget
        if budget.used + count > budget.limit:
            raise Overloaded
        budget.used += count
        self.size += count


async def read_body(request: web.BaseRequest, limit: int, share: BodyShare) -> bytes:
    """The request's body, decoded, of at most ``limit`` bytes.

    Raises:
        RequestTooLarge: More than ``limit`` bytes, before or after decoding.
        UnsupportedEncoding: A content coding other than gzip, deflate and zstd, or several on top of each other.
        RequestTimeout: No byte came for a minute.
        InvalidRequest: The framing or the compressed data is broken.
        Overloaded: The worker holds as many body bytes as it may.
    """
    headers = request.headers
    codings = codings_of(headers.getall("Content-Encoding", ()))
    if codings is None or len(codings) > MOST_CODINGS:
        raise UnsupportedEncoding
    stated = headers.get("Content-Length")
    if stated is not None and stated.isdigit() and int(stated) > limit:
        raise RequestTooLarge
    if "Expect" in headers and headers["Expect"].lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    try:
        body = content.read_nowait(-1) if content.is_eof() else await _read_all(content, limit, share)
    except (RequestPayloadError, HttpProcessingError, ValueError):
        raise InvalidRequest("The request body's framing is broken.") from None
    if len(body) > limit:
        raise RequestTooLarge
    share.grow(max(0, len(body) - share.size))
    if codings:
        body = _decode(body, codings, limit)
        share.grow(len(body))
    return body


async def _read_all(content: StreamReader, limit: int, share: BodyShare) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while True:
        try:
            async with asyncio.timeout(BODY_STALL_SECONDS):
                piece = await content.readany()
        except TimeoutError:
            raise RequestTimeout from None
        if not piece:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        total += len(piece)
        if total > limit:
            raise RequestTooLarge
        share.grow(len(piece))
        pieces.append(piece)


def _decode(body: bytes, codings: Sequence[str], limit: int) -> bytes:
    """Decompress within ``limit``: a small body may not become a large one."""
    decoding = decoder(codings, limit=limit, members=MOST_MEMBERS)
    try:
        plain = b"".join(decoding.feed(body))
    except Corrupt:
        raise InvalidRequest("The request body can't be decompressed.", param="content-encoding") from None
    except TooMuch:
        raise RequestTooLarge from None
    if not decoding.whole:
        raise InvalidRequest("The compressed request body is cut short.", param="content-encoding")
    return plain


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
