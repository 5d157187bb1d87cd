"""The console: one page that shows what the gateway does, and the events that it is fed with.

Rules:

1. The page is one document without a request to another place. The content security policy allows its own style and
   script, by their digests, and its own events.
2. It shows what ``/metrics`` shows, as text, and changes nothing: there is no form, and no path here that acts.
   Switches are set by ``codegrex-gateway switches`` or the API, which ask for rights and note it in the audit stream.
3. An open page costs the handler of its request, and at most `MOST_PAGES` are served. All of them are sent the same
   bytes, made once a second, and only while a page is open.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import msgspec
from aiohttp import web

from gateway.errors import ForeignOrigin, Overloaded
from gateway.http.answers import error_response
from gateway.names import new_rid
from gateway.portal.page import HEADERS, NOT_KEPT
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.overview import SlidingOverview

MOST_PAGES = 8
INTERVAL = 1.0
WRITE_SECONDS = 10.0  # a page that does not read for so long is ended


class Console:
    """Serves the page and its events until the application shuts down. ``pages``: how many are fed."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._sliding = SlidingOverview()
        self._event = b""
        self._made = float("-inf")
        self.pages = 0
        self._closing = asyncio.Event()
        self._page, policy = _document()
        self._headers = {**HEADERS, **NOT_KEPT, "Content-Security-Policy": policy}

    def add_to(self, application: web.Application) -> None:
        application.router.add_get("/console", self._show)
        application.router.add_get("/console/events", self._events)
        application.on_shutdown.append(self._close)

    async def _close(self, _application: web.Application) -> None:
        self._closing.set()

    async def _show(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=self._headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: an `Overview` as JSON, once a second."""
        # Another site's page could not read them, but it could open as many as there may be.
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return error_response(ForeignOrigin("Open /console itself: other sites may not use it."), None, new_rid())
        if self.pages >= MOST_PAGES:
            many = Overloaded(f"{MOST_PAGES} consoles are open, which is the most. Close one.")
            return error_response(many, None, new_rid())
        self.pages += 1
        try:
            return await self._send(request)
        finally:
            self.pages -= 1

    async def _send(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**self._headers, "Content-Type": "text/event-stream"})
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await response.prepare(request)
            while not self._closing.is_set() and request.transport is not None:
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(self._latest())
                await self._pause()
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()  # with bytes that nobody reads, it would wait for ever
        return response

    async def _pause(self) -> None:
        """Until the next event, or the end."""
        try:
            async with asyncio.timeout(INTERVAL):
                await self._closing.wait()
        except TimeoutError:
            return

    def _latest(self) -> bytes:
        now = time.monotonic()
        if now - self._made >= INTERVAL * 0.9:  # timers of several pages are not in step
            found = self._sliding.add(self._instruments.registry.render().decode(), now)
            self._event = b"data: " + msgspec.json.encode(found) + b"\n\n"
            self._made = now
        return self._event


def _document() -> tuple[bytes, str]:
    """The page, and the content security policy that allows what is in it."""
    folder = files("gateway.internal").joinpath("assets")
    page = folder.joinpath("console.html").read_text("utf-8")
    digests: dict[str, str] = {}
    for name in ("console.css", "console.js"):
        text = folder.joinpath(name).read_text("utf-8")
        digests[name] = b64encode(sha256(text.encode()).digest()).decode()
        page = page.replace(f"{{{name}}}", text)
    policy = (
        f"default-src 'none'; style-src 'sha256-{digests['console.css']}'; "
        f"script-src 'sha256-{digests['console.js']}'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy
