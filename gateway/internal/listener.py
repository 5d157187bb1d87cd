"""The internal listener of the supervising process: started with the workers, closed after them.

The services' API is imported and opened only if a service is configured.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Self

from aiohttp import web

from gateway.accounts.webhooks import Webhooks, make_webhooks
from gateway.config import Config
from gateway.config.changes import Reloaded
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
        current: Callable[[], Config],
        sockets: Sequence[socket.socket],
        instruments: Instruments,
        missing: Callable[[], Awaitable[list[str]]],
        *,
        log: Log,
        reload: Callable[[str], Awaitable[Reloaded]],
    ) -> Self:
        """Begin to serve.

        Args:
            current: The configuration, which a reload changes.
            sockets: Listening ones.
            instruments: Bound to the shared memory of all workers.
            missing: As `make_internal` takes it.
            log: Takes faults of the store.
            reload: Reloads the configuration for an actor. Raises `ConfigError`.
        """
        config = current()
        webhooks = make_webhooks(config.webhooks)
        admin, add_api = None, None
        if config.internal.tokens:
            from gateway.accounts.opening import OnDemand  # noqa: PLC0415 - only if a service is configured
            from gateway.auth.switches import switchable  # noqa: PLC0415
            from gateway.catalog import catalog  # noqa: PLC0415
            from gateway.internal.api import ServiceApi  # noqa: PLC0415
            from gateway.internal.operations import Served  # noqa: PLC0415

            async def served() -> Served:
                config = current()
                models = frozenset(model.name for model in (await asyncio.to_thread(catalog.load, config)).models)
                companies = frozenset(provider.company for provider in config.providers.values())
                return Served(frozenset(config.tiers), models, companies, switchable(config, models))

            admin = OnDemand(config, webhooks)
            add_api = ServiceApi(config.internal.tokens, admin, log, served, reload).add_to
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
