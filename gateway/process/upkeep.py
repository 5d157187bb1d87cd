"""Background work of a worker: retention, events about credit, dated price changes.

`Upkeep` creates these from the worker's services, and starts and closes them together.
"""

from __future__ import annotations

from functools import partial

from gateway.accounts.administration import Administration, consumers_of_records
from gateway.accounts.opening import OpenedAccounts
from gateway.accounts.webhooks import WebhookEvent, Webhooks
from gateway.catalog.catalog import Catalog
from gateway.catalog.price_change import PriceChange
from gateway.inference.services import Services
from gateway.telemetry.log import Event
from metering.accounts.credit_watch import CreditWatch
from metering.accounts.retention import Retention, Swept
from metering.accounts.sweeper import Sweeper
from metering.spool.spool import Spool


class Upkeep:
    """Call `start` from the running loop and `close` before the ledger is closed."""

    def __init__(
        self,
        services: Services,
        opened: OpenedAccounts[Spool],
        administration: Administration,
        webhooks: Webhooks,
    ) -> None:
        config, store, ledger, log = services.rules.config, opened.store, opened.ledger, services.signals.log
        self._rules = services.rules
        self._settler = services.books.settler
        self._instruments = services.signals.instruments
        self._log = log
        self._lag_ms = 0
        self.webhooks = webhooks
        retention = Retention(
            store,
            ledger,
            days=config.retention.days,
            longest_days=config.retention.longest_days,
            consumers=consumers_of_records(store),
            on_lag=self._lags,
            on_unread=self._unread,
        )
        self._sweeper = Sweeper(
            store,
            retention,
            also=administration.rights.resume,
            on_swept=self._swept,
            on_idle=self._not_mine,
            on_failure=partial(log.failure, Event.RETENTION_FAILED),
        )
        self._watch = CreditWatch(
            store,
            ledger,
            low=config.webhooks.low_credit if config.webhooks is not None else 0,
            on_low=lambda pid, left: self.webhooks.emit(WebhookEvent.CREDITS_LOW, pid, left=left),
            on_exhausted=lambda pid, left: self.webhooks.emit(WebhookEvent.CREDITS_EXHAUSTED, pid, left=left),
        )
        self._prices = self._price_change()

    def start(self) -> None:
        self.webhooks.start()
        self._sweeper.start()
        self._prices.start()
        if self._rules.config.webhooks is not None:
            self._settler.on_settled(self._watch.settled)
            self._watch.start()

    async def close(self) -> None:
        await self._sweeper.close()
        await self._prices.close()
        await self._watch.close()
        await self.webhooks.drain()
        await self.webhooks.close()

    async def use(self, services: Services) -> None:
        """The configuration was reloaded: prices change in the new catalog."""
        await self._prices.close()
        self._rules = services.rules
        self._prices = self._price_change()
        self._prices.start()

    def _price_change(self) -> PriceChange:
        return PriceChange(
            self._rules.config,
            self._rules.catalog.until_ms,
            put=self._put_catalog,
            on_failure=partial(self._log.failure, Event.PRICE_CHANGE_FAILED),
        )

    def _put_catalog(self, catalog: Catalog) -> None:
        self._rules.catalog = catalog
        self._log.info(Event.PRICES_CHANGED, count=len(catalog.models))

    def _lags(self, _group: str, age_ms: int) -> None:
        self._lag_ms = max(self._lag_ms, age_ms)
        self._log.error(Event.BILLING_LAGS, seconds=age_ms // 1_000)

    def _unread(self, count: int) -> None:
        self._log.error(Event.RECORDS_UNREAD, count=count)

    def _swept(self, swept: Swept) -> None:
        instruments = self._instruments
        self._show_lag(self._lag_ms // 1_000)
        self._lag_ms = 0
        instruments.swept.inc("aged", by=swept.aged)
        instruments.swept.inc("erased", by=swept.erased)
        instruments.swept.inc("unread", by=swept.unread)

    def _not_mine(self) -> None:
        """Another process sweeps, and says how far billing lags: the sum over all must be right."""
        self._show_lag(0)

    def _show_lag(self, seconds: int) -> None:
        instruments = self._instruments
        instruments.registry.cells[instruments.billing_lag.column()] = seconds
