"""The internal listener: liveness, readiness with what is missing, metrics, and what holds of the workers.

Served by the process that supervises, over all workers. Loopback unless the operator says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from gateway.instruments import Instruments

Readiness = Callable[[], Awaitable[list[str]]]


def make_internal(instruments: Instruments, missing: Readiness) -> web.Application:
    """The application of the internal listener.

    Args:
        instruments: Bound to the shared memory of all workers.
        missing: Says what keeps this gateway from serving, in fixed words; empty means ready.
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

    application = web.Application()
    application.router.add_get("/hardening", hardening)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    return application
