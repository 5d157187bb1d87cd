"""Loads a dated change of published prices while a worker runs.

Rules:

1. At ``Catalog.until_ms`` the list is compiled again (`published.prepare`, another process) and the new
   catalog replaces the old one as a whole.
2. A reserved request keeps its price: a `Price` never changes, and the request keeps a reference to it.
3. If the new list cannot be compiled, the old one stays, an error is logged, and it is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.catalog import published
from gateway.catalog.catalog import Catalog, load
from gateway.config import Config, ConfigError
from metering import clock
from metering.background import Background

RETRY_SECONDS = 60.0
LONGEST_SLEEP = 3_600.0  # the clock may be stepped meanwhile


class PriceChange(Background):
    """One worker's watch. ``put`` gets the new catalog; ``on_failure`` is called if a change failed."""

    def __init__(
        self,
        config: Config,
        until_ms: int | None,
        *,
        put: Callable[[Catalog], None],
        on_failure: Callable[[Exception], None],
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._config = config
        self._until_ms = until_ms
        self._put = put
        self._on_failure = on_failure
        self._now_ms = now_ms

    async def turn(self) -> float | None:
        """Apply the change if it is due; returns the seconds until the next check, ``None`` if there is no change."""
        if self._until_ms is None:
            return None
        now = self._now_ms()
        if now >= self._until_ms:
            try:
                await asyncio.to_thread(published.prepare, self._config, now)
                catalog = await asyncio.to_thread(load, self._config)
            except ConfigError as error:
                self._on_failure(error)
                return RETRY_SECONDS
            self._put(catalog)
            self._until_ms = catalog.until_ms
            return await self.turn() if catalog.until_ms is None or catalog.until_ms > now else RETRY_SECONDS
        return min(LONGEST_SLEEP, (self._until_ms - now) / 1_000)

    def start(self) -> None:
        """Start watching if a change is announced. Call from the running loop."""
        if self._until_ms is not None:
            super().start()

    async def _run(self) -> None:
        while True:
            seconds = await self.turn()
            if seconds is None:
                return
            await asyncio.sleep(seconds)
