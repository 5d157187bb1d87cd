"""What a worker does beside its requests: retention, events about credit, dated price changes.

`Upkeep` makes these out of the worker's services, starts them together and closes them together.
"""

from __future__ import annotations

from functools import partial

from gateway.accounts.webhooks import WebhookEvent, Webhooks
from gateway.catalog.catalog import Catalog
from gateway.catalog.price_change import PriceChange
from gateway.inference.services import Services
from gateway.telemetry.log import Event
from metering.accounts.credit_watch import CreditWatch
from metering.accounts.retention import Retention, Swept
from metering.accounts.sweeper import Sweeper


class Upkeep:
    """Call `start` from the running loop and `close` before the ledger is closed."""

    def __init__(self, services: Services) -> None:
        config, store, ledger = services.config, services.store, services.ledger
        self._services = services
        self._lag_ms = 0
        self.webhooks: Webhooks = services.webhooks
        retention = Retention(
            store,
            ledger,
            days=config.retention.days,
            longest_days=config.retention.longest_days,
            on_lag=self._lags,
            on_unread=self._unread,
        )
        self._sweeper = Sweeper(
            store,
            retention,
            also=services.rights.resume,
            on_swept=self._swept,
            on_idle=self._not_mine,
            on_failure=partial(services.log.failure, Event.RETENTION_FAILED),
        )
        self._watch = CreditWatch(
            store,
            ledger,
            low=config.webhooks.low_credit if config.webhooks is not None else 0,
            on_low=lambda pid, left: self.webhooks.emit(WebhookEvent.CREDITS_LOW, pid, left=left),
            on_exhausted=lambda pid, left: self.webhooks.emit(WebhookEvent.CREDITS_EXHAUSTED, pid, left=left),
        )
        self._prices = PriceChange(
            config,
            services.catalog.until_ms,
            put=self._put_catalog,
            on_failure=partial(services.log.failure, Event.PRICE_CHANGE_FAILED),
        )

    def start(self) -> None:
        self.webhooks.start()
        self._sweeper.start()
        self._prices.start()
        if self._services.config.webhooks is not None:
            self._services.settler.on_settled(self._watch.settled)
            self._watch.start()

    async def close(self) -> None:
        await self._sweeper.close()
        await self._prices.close()
        await self._watch.close()
        await self.webhooks.drain()
        await self.webhooks.close()

    def _put_catalog(self, catalog: Catalog) -> None:
        services = self._services
        services.catalog = catalog
        services.log.info(Event.PRICES_CHANGED, count=len(catalog.models))

    def _lags(self, _group: str, age_ms: int) -> None:
        self._lag_ms = max(self._lag_ms, age_ms)
        self._services.log.error(Event.BILLING_LAGS, seconds=age_ms // 1_000)

    def _unread(self, count: int) -> None:
        self._services.log.error(Event.RECORDS_UNREAD, count=count)

    def _swept(self, swept: Swept) -> None:
        instruments = self._services.instruments
        self._show_lag(self._lag_ms // 1_000)
        self._lag_ms = 0
        instruments.swept.inc("aged", by=swept.aged)
        instruments.swept.inc("erased", by=swept.erased)
        instruments.swept.inc("unread", by=swept.unread)

    def _not_mine(self) -> None:
        """Another process sweeps, and says how far billing lags: the sum over all must be right."""
        self._show_lag(0)

    def _show_lag(self, seconds: int) -> None:
        instruments = self._services.instruments
        instruments.registry.cells[instruments.billing_lag.column()] = seconds
