"""The one way in which a call's body is read on the internal listener."""

from __future__ import annotations

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from gateway.errors import InvalidRequest, RequestTooLarge


async def body_of(request: web.Request) -> bytes:
    """The body, decoded; at most aiohttp's ``client_max_size`` (1 MiB).

    Raises:
        RequestTooLarge: It is larger.
        InvalidRequest: Its framing or its content coding is broken.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise RequestTooLarge from None
    except (RequestPayloadError, HttpProcessingError, ValueError):
        raise InvalidRequest("The body's framing or Content-Encoding is not valid.") from None
