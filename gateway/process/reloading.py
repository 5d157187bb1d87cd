"""Takes a new version of gateway.toml while the gateway runs.

Rules:

1. The file is read and checked as a whole, the catalog and the providers' certificates included, before anything
   changes. A fault anywhere refuses all of it, and the running configuration stays.
2. What a worker's requests read is one value, `Services`. A reload builds another one and puts it in the place of the
   first: a request keeps the one that it began with, its prices and policy included, until it is settled.
3. What has state is taken over if it is about something that did not change: the health and the connections of a
   provider at the same place, the health of a key that is still configured, everything that accounts hold and owe.
4. In a gateway of several processes the supervisor checks the file first, and then has each worker read it.
5. What changed is logged by its name in the file, never by its value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from gateway.catalog import published
from gateway.catalog.catalog import load as load_catalog
from gateway.config import Config, ConfigError, ProviderConfig
from gateway.config.changes import Reloaded, changes
from gateway.config.load import load
from gateway.inference.limits import TierLimits
from gateway.inference.secrets import make_secrets
from gateway.inference.services import Rules, Services
from gateway.telemetry import quiet
from gateway.telemetry.log import Event, Log
from gateway.upstream.destination import Destination
from gateway.upstream.retry_budget import RetryBudget
from metering.accounts import audit
from metering.accounts.audit import Action, Actor
from metering.store.store import Store
from metering.usage import MICRO_CREDITS


class Reloader:
    """Reads the file again when it is asked to, one time after the other.

    Attributes:
        config: What holds now.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        apply: Callable[[Config], Awaitable[int]],
        *,
        noted: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """Build it.

        Args:
            config: What holds now.
            log: Takes the names of what changes.
            apply: Makes a checked configuration hold; returns in how many workers it does.
            noted: Writes an actor's name into the audit stream, before anything changes; ``None`` in a process whose
                supervisor does that.
        """
        self.config = config
        self._log = log
        self._apply = apply
        self._noted = noted
        self._turn = asyncio.Lock()

    async def reload(self, actor: str) -> Reloaded:
        """Make the file's present version hold.

        Raises:
            ConfigError: With every fault of it; nothing has changed.
            redis.RedisError, StoreUnavailable: It cannot be audited; nothing has changed.
        """
        async with self._turn:
            try:
                new = await asyncio.to_thread(load, self.config.path)
                found = changes(self.config, new)
                await asyncio.to_thread(self._check, found.config)
                if self._noted is not None:
                    await self._noted(actor)
                workers = await self._apply(found.config)
            except ConfigError as error:
                self._log.error(Event.RELOAD_REFUSED, count=len(error.faults))
                raise
            self.config = found.config
            self._log.close_over((*found.changed, *found.needs_restart))
            for name in found.changed:
                self._log.info(Event.SETTING_CHANGED, setting=name)
            for name in found.needs_restart:
                self._log.warning(Event.SETTING_WAITS, setting=name)
            self._log.info(Event.RELOADED, count=len(found.changed), workers=workers)
            return Reloaded(found.changed, found.needs_restart, workers)

    def _check(self, config: Config) -> None:
        if self._noted is not None:  # it leads: workers find the list of prices
            published.prepare(config)
        load_catalog(config)
        for provider in config.providers.values():
            destination_of(provider)

    async def on_signal(self, actor: str) -> None:
        """The same for a signal, which nobody awaits: what is wrong is logged, and told to the operator."""
        try:
            await self.reload(actor)
        except ConfigError as error:
            if self._noted is not None:
                quiet.tell(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration stays
            self._log.failure(Event.RELOAD_REFUSED, error)


def start_reload(reloader: Reloader, tasks: set[asyncio.Task[None]]) -> None:
    """Reload because of a signal; ``tasks`` keeps what runs."""
    task = asyncio.get_running_loop().create_task(reloader.on_signal(Actor.CLI))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def note(store: Store, actor: str) -> None:
    """Write a reload into the audit stream."""
    await audit.note(store, actor, Action.RELOADED)


def destination_of(provider: ProviderConfig) -> Destination:
    """Raises `ConfigError` if the files that it names cannot be used any more."""
    try:
        return Destination(provider)
    except (OSError, ValueError):  # ssl.SSLError is the first of these
        fix = "fix the file or its permissions"
        raise ConfigError((f"providers.{provider.name}: its ca_file cannot be used; {fix}",)) from None


def services_under(before: Services, config: Config) -> Services:
    """The services of a worker under another configuration. Raises `ConfigError`."""
    catalog = load_catalog(config)
    old = before.rules.config
    books, upstreams, signals = before.books, before.upstreams, before.signals
    abandoned = books.abandoned
    if config.billing.abandoned_credits != old.billing.abandoned_credits:
        abandoned = abandoned.within(int(config.billing.abandoned_credits * MICRO_CREDITS))
    retries = upstreams.retries
    if config.routing != old.routing:
        retries = RetryBudget(config.routing.retry_percent, config.routing.retries_per_second)
    return replace(
        before,
        rules=Rules(config, catalog, make_secrets(config.policy, upstreams.identity_key)),
        books=replace(books, limits=TierLimits(config.tiers), abandoned=abandoned, abort=config.billing.abort),
        upstreams=replace(
            upstreams,
            destinations=_destinations(upstreams.destinations, old.providers, config.providers),
            retries=retries,
            policy=config.policy,
            opening=config.server.opening_timeout,
        ),
        signals=replace(signals, evidence=signals.evidence.under(config, catalog)),
    )


def _destinations(
    before: Mapping[str, Destination], old: Mapping[str, ProviderConfig], new: Mapping[str, ProviderConfig]
) -> dict[str, Destination]:
    """A destination for each provider: the same object if nothing of it changed."""
    found: dict[str, Destination] = {}
    for name, provider in new.items():
        if old.get(name) == provider:
            found[name] = before[name]
            continue
        found[name] = destination_of(provider)
        if name in before:
            found[name].inherit(before[name])
    return found
