"""The internal listener: liveness, readiness with what is missing, metrics, and the API for services.

Served by the process that supervises, over all workers. Loopback unless the operator says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from gateway.metrics import Registry

Readiness = Callable[[], Awaitable[list[str]]]


def make_internal(
    registry: Registry, missing: Readiness, add_api: Callable[[web.Application], None] | None = None
) -> web.Application:
    """The application of the internal listener.

    Args:
        registry: Bound to the shared memory of all workers.
        missing: Says what keeps this gateway from serving, in fixed words; empty means ready.
        add_api: Adds the routes for services (`gateway.routes.service`), which ask for a token.
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
            body=registry.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    application = web.Application()
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    if add_api is not None:
        add_api(application)
    return application
