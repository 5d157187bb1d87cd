"""A proxy as one writes it with aiohttp in an afternoon: no authentication, no metering, no limits.

One of the contenders, so that the price of aiohttp's own client and server is known.
``python -m benchmarks.compare.plain_proxy PORT UPSTREAM [CA_FILE]``
"""

from __future__ import annotations

import ssl
import sys

import aiohttp
import uvloop
from aiohttp import web

_HOP = frozenset(("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"))
_SESSION = web.AppKey("session", aiohttp.ClientSession)


def application(upstream: str, ca_file: str | None) -> web.Application:
    """The proxy as an aiohttp application."""

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = upstream + request.path_qs
        async with request.app[_SESSION].request(request.method, url, headers=headers, data=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    async def session(app: web.Application):  # type: ignore[no-untyped-def]  # noqa: ANN202 - aiohttp's generator protocol
        context = ssl.create_default_context(cafile=ca_file) if ca_file else True
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as made:
            app[_SESSION] = made
            yield

    app = web.Application(client_max_size=1 << 30)
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


def main() -> None:
    port, upstream, *ca_file = sys.argv[1:]
    uvloop.install()
    app = application(upstream, ca_file[0] if ca_file else None)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main()
