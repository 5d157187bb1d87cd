"""The internal listener: liveness, readiness, version, metrics, the console, hardening, and the API for services.

The supervising process serves it for all workers, on loopback unless configured otherwise.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from gateway import variables
from gateway.catalog.published import list_version
from gateway.errors import MethodNotAllowed, NotFound
from gateway.http.answers import error_response
from gateway.internal.console import Console
from gateway.names import new_rid
from gateway.telemetry.instruments import RELEASE, Instruments

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

    async def release(_request: web.Request) -> web.Response:
        body = {"version": RELEASE, "python": platform.python_version(), "price_list": list_version()}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    async def hardening(_request: web.Request) -> web.Response:
        count, switches = variables.dropped()
        body = {
            "workers": instruments.registry.held_by(instruments.tasks.column()),
            "held": instruments.hardening(),
            "variables_dropped": {"count": count, "switches": switches},
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    application = web.Application(middlewares=[_unrouted])
    application.router.add_get("/hardening", hardening)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/version", release)
    Console(instruments).add_to(application)
    if add_api is not None:
        add_api(application)
    return application
