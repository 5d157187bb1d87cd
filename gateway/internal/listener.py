"""The internal listener of the process that supervises: started beside the workers, closed after them.

What it needs for the services' API is imported and opened only where a service is configured.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Self

from aiohttp import web

from gateway.accounts.webhooks import WebhookEvent, Webhooks, make_webhooks
from gateway.config import Config
from gateway.internal.health import make_internal
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Log

if TYPE_CHECKING:
    from gateway.accounts.opening import OnDemand


CLOSE_SECONDS = 5.0  # for calls that run when the gateway ends


class InternalListener:
    """Serves until `close`. ``port`` is where."""

    def __init__(self, runner: web.AppRunner, port: int, webhooks: Webhooks, admin: OnDemand | None) -> None:
        self.port = port
        self._runner = runner
        self._webhooks = webhooks
        self._admin = admin

    @classmethod
    async def start(
        cls,
        config: Config,
        sockets: Sequence[socket.socket],
        instruments: Instruments,
        missing: Callable[[], Awaitable[list[str]]],
        log: Log,
    ) -> Self:
        webhooks = make_webhooks(config.webhooks)
        admin, add_api = None, None
        if config.internal.tokens:
            from gateway.accounts.opening import OnDemand  # noqa: PLC0415 - only where a service is configured
            from gateway.internal.api import ServiceApi  # noqa: PLC0415

            admin = OnDemand(config, on_erased=lambda pid: webhooks.emit(WebhookEvent.ACCOUNT_ERASED, pid))
            add_api = ServiceApi(config.internal.tokens, admin, log).add_to
        application = make_internal(instruments, missing, add_api)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        for sock in sockets:
            await web.SockSite(runner, sock).start()
        webhooks.start()
        return cls(runner, int(sockets[0].getsockname()[1]), webhooks, admin)

    async def close(self) -> None:
        await self._runner.cleanup()
        if self._admin is not None:
            await self._admin.close()
        await self._webhooks.drain()
        await self._webhooks.close()
