"""The local broker: a listener on 127.0.0.1 for the programs of this machine, in front of its engines.

It keeps nothing of a request: it writes no file, logs no request, and has no store and no account. It does not read or
forward the token that an SDK sends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

import orjson
from aiohttp import web

from gateway.errors import (
    GatewayError,
    MethodNotAllowed,
    NotFound,
    UpgradeRequired,
)
from gateway.http import request as inbound
from gateway.http.answers import SERVER_NAME, error_of_path, error_response, json_response, send_refusal
from gateway.http.resources import Resource, resource_of
from gateway.http.server import Server
from gateway.local import isolation, process_guard
from gateway.local.directory import Directory
from gateway.local.exchange import EngineExchange
from gateway.local.model_lists import list_models, show_model
from gateway.local.origin_check import OriginCheck, preflight
from gateway.local.settings import Settings, SettingsError
from gateway.names import Rid, new_rid
from gateway.telemetry.log import Event, Log
from providers.dialect import Family
from providers.paths import PathFault, Route, Surface, family_of_headers, resolve

OnStarted: TypeAlias = Callable[[int, Directory], None]

BACKLOG: Final = 128
# What the cloud gateway says of an account, in the same form: here nothing is paid for, limited or stated.
ACCOUNT: Final = orjson.dumps(
    {
        "tier": None,
        "mode": "local",
        "credits": None,
        "limits": {},
        "policy": {
            "regions": ["local"],
            "max_retention_days": 0,
            "models": None,
            "fallback_companies": [],
            "min_app_version": None,
        },
    }
)
BODIES: Final = 512 << 20  # bytes of request bodies held at a time; the machine's one user gets half


class Broker:
    """The handler of every request."""

    def __init__(self, settings: Settings, directory: Directory, port: int, log: Log) -> None:
        self._settings = settings
        self._directory = directory
        self._origins = OriginCheck(port, settings.origins)
        self._bodies = inbound.body_budget(BODIES)
        self._log = log

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; raises only on cancellation and bugs."""
        rid = new_rid()
        path, _, query = request.raw_path.partition("?")
        found = _find(request, path)
        cors: dict[str, str] = {}
        try:
            cors = self._origins.check(request.headers)
            if cors and request.method == "OPTIONS":
                return web.Response(status=204, headers={"Server": SERVER_NAME, **cors, **preflight(request.headers)})
            if found is None:
                raise NotFound("Local mode keeps no usage records.")
            if isinstance(found, Resource):
                if request.method != "GET":
                    raise MethodNotAllowed("GET")
                return json_response(ACCOUNT, rid, headers=cors)
            if isinstance(found, PathFault):
                raise error_of_path(found)
            response = await self._answer(request, found, query, rid, cors)
        except GatewayError as error:
            refused = error_response(error, _form(found), rid)
            refused.headers.update(cors)
            return await send_refusal(request, refused)
        if not response.prepared:
            response.headers.update(cors)
        return response

    async def _answer(
        self, request: web.BaseRequest, route: Route, query: str, rid: Rid, cors: dict[str, str]
    ) -> web.StreamResponse:
        if route.operation is not None and route.family is not None:
            exchange = EngineExchange(
                self._directory,
                self._bodies,
                request,
                operation=route.operation,
                family=route.family,
                rid=rid,
                more_headers=cors,
                always_translate=self._settings.always_translate,
            )
            return await exchange.run(route.name, query, self._settings.max_body_bytes)
        if route.surface is Surface.WEBSOCKET:
            raise UpgradeRequired(headers={"Upgrade": "HTTP/1.1"})
        await self._directory.look()
        names = self._directory.names()
        if route.surface is Surface.MODELS:
            return list_models(names, route.family, query, rid)
        return show_model(names, route.family, route.name or "", rid)

    def broken(self, request: web.BaseRequest, path: str, error: GatewayError, rid: Rid) -> web.Response:
        """The answer for what is not HTTP, and for a handler that failed."""
        return error_response(error, _form(_find(request, path)), rid)


def _form(found: Route | PathFault | Resource | None) -> Family | None:
    return found.family if isinstance(found, Route | PathFault) else None


def _find(request: web.BaseRequest, path: str) -> Route | PathFault | Resource | None:
    """What a path is, or None for records of requests, which only the cloud gateway has."""
    own = resource_of(path)
    if own is not None:
        return own[0] if own[0] is Resource.ACCOUNT else None
    return resolve(request.method, path, family_of_headers(request.headers))


def listen(port: int) -> socket.socket:
    """The listening socket, on 127.0.0.1 and nowhere else. Raises `SettingsError`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise SettingsError("The port is in use: choose another one with --port.") from None
    sock.listen(BACKLOG)
    return sock


async def serve(
    settings: Settings,
    sock: socket.socket,
    log: Log,
    engine: isolation.EngineProcess | None,
    on_started: OnStarted | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; SIGHUP is ignored if the parent ignores it (nohup)."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    loop.set_exception_handler(lambda _loop, context: _note(log, context))
    port = sock.getsockname()[1]
    directory = Directory(loop, settings.engines, usual_ports=settings.usual_ports)
    broker = Broker(settings, directory, port, log)
    server = await loop.create_server(Server(broker.handle, broker.broken, log, loop), sock=sock)
    log.info(Event.STARTED, port=port, count=len(await directory.look()))
    if on_started is not None:
        on_started(port, directory)
    try:
        await stop.wait()
    finally:
        server.close()
        if engine is not None:
            engine.stop()
        log.info(Event.STOPPED)
    return 0


def _note(log: Log, context: dict[str, object]) -> None:
    """The loop's own report quotes what it holds: only the type of the error is noted."""
    error = context.get("exception")
    log.failure(Event.LOOP_ERROR, error if isinstance(error, BaseException) else RuntimeError())


def run(settings: Settings, log: Log, on_started: OnStarted | None = None) -> int:
    """Listen, isolate where that was asked for, put up the guard, serve. The process's exit code.

    Args:
        settings: How it runs.
        log: Where it logs.
        on_started: Called with the port and what was found once requests are served.

    Raises:
        SettingsError: The port is taken.
        IsolationError: The kernel gives no empty namespace, or the engine can't be started.
    """
    sock = listen(settings.port)
    engine = None
    if settings.isolate:
        isolation.isolate()
        if settings.engine_command:
            engine = isolation.EngineProcess(settings.engine_command)
    process_guard.install()
    return asyncio.run(serve(settings, sock, log, engine, on_started))
