"""Refusals on their way to the caller, the same for the gateway and for the local broker.

The pure readers of `providers` refuse with a code and a sentence; here that becomes an error of the tree.
"""

from __future__ import annotations

from aiohttp import web

from gateway.errors import (
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PrivacyUnsupported,
    UnsupportedFeature,
)
from gateway.http import request as inbound
from gateway.http.server import reset
from providers.dialect import Refusal
from providers.paths import PathFault

_ERRORS: dict[str, type[GatewayError]] = {
    error.code: error for error in (InvalidRequest, UnsupportedFeature, PrivacyUnsupported)
}


def error_of_refusal(refusal: Refusal) -> GatewayError:
    """What a dialect refuses."""
    return _ERRORS[refusal.code](refusal.message, param=refusal.param)


def error_of_path(fault: PathFault) -> GatewayError:
    """What is not served under a path."""
    if fault.status == 405:
        return MethodNotAllowed(", ".join(fault.allow))
    if fault.status == 404:
        return NotFound(fault.message)
    return _ERRORS.get(fault.code, InvalidRequest)(fault.message)


async def send_refusal(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Answer with an error. Where a body is still on its way, linger and close (design 3, step 1)."""
    if request.writer.output_size > 0:
        transport = request.transport
        if transport is not None:
            reset(transport)  # an answer had begun: it must not look complete
        return response
    if not request.content.is_eof():
        response.force_close()
        await response.prepare(request)
        await response.write_eof()
        await inbound.linger(request)
    return response
