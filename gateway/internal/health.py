"""The internal listener: liveness, readiness, metrics, what holds of the workers, and the API for services.

Served by the process that supervises, over all workers. Loopback unless the operator says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from gateway.errors import MethodNotAllowed, NotFound
from gateway.http.answers import error_response
from gateway.names import new_rid
from gateway.telemetry.instruments import Instruments

Readiness = Callable[[], Awaitable[list[str]]]


@web.middleware
async def _unrouted(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """What no route takes is answered as everything else is: RFC 9457, with a code."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        return error_response(MethodNotAllowed(", ".join(sorted(error.allowed_methods))), None, new_rid())
    except web.HTTPNotFound:
        return error_response(NotFound(), None, new_rid())


def make_internal(
    instruments: Instruments, missing: Readiness, add_api: Callable[[web.Application], None] | None = None
) -> web.Application:
    """The application of the internal listener.

    Args:
        instruments: Bound to the shared memory of all workers.
        missing: Says what keeps this gateway from serving, in fixed words; empty means ready.
        add_api: Adds the routes for services (`gateway.internal.api`), which ask for a token.
    """

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        faults = await missing()
        status = 503 if faults else 200
        body = {"status": "not ready" if faults else "ready", "missing": faults}
        return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=instruments.registry.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def hardening(_request: web.Request) -> web.Response:
        body = {"workers": instruments.registry.rows, "held": instruments.hardening()}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    application = web.Application(middlewares=[_unrouted])
    application.router.add_get("/hardening", hardening)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    if add_api is not None:
        add_api(application)
    return application
