"""Builds a worker's objects and wires them: the only place that does.

`Worker` is the data plane of one process: open the store, load the ledger's functions, serve the
inherited listening sockets, drain at SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.accounts.administration import Administration
from gateway.accounts.opening import OpenedAccounts, open_serving
from gateway.accounts.webhooks import WebhookEvent, make_webhooks
from gateway.api.dispatch import Answers, Dispatcher
from gateway.auth import revocation
from gateway.auth.announcements import Listener, Topic
from gateway.auth.authenticator import Authenticator
from gateway.auth.recheck import Recheck
from gateway.auth.switches import Off, Switchable, Switches, provider_of
from gateway.catalog.catalog import Catalog
from gateway.catalog.catalog import load as load_catalog
from gateway.config import Config, ProviderConfig
from gateway.errors import TokenRevoked
from gateway.evidence.statement import Evidence
from gateway.hardening.process import observe
from gateway.http.accepting import Acceptor
from gateway.http.certificate import ListenerCertificate
from gateway.http.connections import Connections, room_for
from gateway.http.overload import Overload
from gateway.http.pace import Pace
from gateway.http.request import body_budget, request_budget
from gateway.http.server import ClientConnection, Server
from gateway.http.slices import Slices
from gateway.inference.abandoned import Abandoned
from gateway.inference.lanes import Lanes
from gateway.inference.leases import LEASE_MS, Leases
from gateway.inference.limits import TierLimits
from gateway.inference.running import Running
from gateway.inference.secrets import make_secrets
from gateway.inference.services import Books, Rules, Services, Shares, Signals, Upstreams
from gateway.names import Closed, Rid
from gateway.oauth.endpoints import OAuth
from gateway.process.reloading import destination_of, services_under
from gateway.process.stopping import Stopping
from gateway.process.upkeep import Upkeep
from gateway.telemetry import quiet
from gateway.telemetry.instruments import Instruments, codes, resident_bytes
from gateway.telemetry.log import Event, Log
from gateway.telemetry.otlp import Telemetry
from gateway.upstream.destination import Destination
from gateway.upstream.machine_credentials import lend
from gateway.upstream.pool import Pool, Timeouts
from gateway.upstream.retry_budget import RetryBudget
from gateway.upstream.tokens import AccessToken, AccessTokens, issue
from metering.accounts.audit import Actor
from metering.clock import now_ms
from metering.settlement.reaper import Reaper
from metering.settlement.settler import Settler
from metering.spool.replay import Replay
from metering.spool.spool import Spool
from metering.store.epoch import Epoch
from metering.store.store import Store, Unconfirmed
from metering.usage import MICRO_CREDITS, Outcome

if TYPE_CHECKING:
    from gateway.portal.portal import Portal

BACKLOG = 4096
GAUGE_SECONDS = 1.0
SETTLE_SECONDS = 30.0  # for what the ledger is owed when the last request has ended; the spool keeps the rest
CUT_SECONDS = 5.0  # for requests that are cancelled to settle
LEAVE_SECONDS = 5.0  # for idle connections of a worker that was replaced, before it drains
LEAVE_POLL_SECONDS = 0.1


def make_instruments(config: Config) -> Instruments:
    """The series of a gateway, for the process that creates their memory. Raises `ConfigError` as the catalog does."""
    served = ((target.provider.name, model.name) for model in load_catalog(config).models for target in model.targets)
    return Instruments(config.providers, served)


def make_log(config: Config) -> Log:
    log = Log(config.log.level, config.log.file, config.log.keep_days)
    log.close_over(config.providers)
    return log


@dataclass(frozen=True, slots=True)
class Watches:
    """What looks after the ledger beside the requests."""

    epoch: Epoch
    reaper: Reaper
    replay: Replay
    listener: Listener


@dataclass(frozen=True, slots=True)
class Reloadable:
    """What a reload hands the new services to; ``tokens`` by the provider's name."""

    dispatcher: Dispatcher
    upkeep: Upkeep
    tokens: dict[str, AccessTokens]


class Worker:
    """One process's data plane."""

    def __init__(
        self,
        services: Services,
        server: Server,
        acceptor: Acceptor,
        certificate: ListenerCertificate | None,
        reloadable: Reloadable,
        *,
        store: Store,
        watches: Watches,
        begun: AsyncExitStack,
    ) -> None:
        self.services = services
        self.store = store
        self._watches = watches
        self._away = self._collector_away = False
        self._cpu = 0
        self._server = server
        self._acceptor = acceptor
        self._certificate = certificate
        self._reloadable = reloadable
        self._begun = begun  # everything that `close` must end, last begun first
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._update_gauges()  # at once: a worker of less than a second has its figures too

    @classmethod
    async def start(
        cls, config: Config, sockets: Sequence[socket.socket], instruments: Instruments, log: Log
    ) -> Worker:
        """Open everything and begin to accept, or nothing: what was begun before a failure is ended again.

        Raises:
            ConfigError, StoreUnavailable, EmbeddedError, LedgerUnavailable: What is missing.
        """
        async with AsyncExitStack() as begun:
            return await cls._start(config, sockets, instruments, log, begun)

    @classmethod
    async def _start(
        cls, config: Config, sockets: Sequence[socket.socket], instruments: Instruments, log: Log, begun: AsyncExitStack
    ) -> Worker:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet.loop_handler(log))
        catalog = load_catalog(config)
        log.close_over(model.name for model in catalog.models)
        opened = await open_serving(config)
        key, store, ledger = opened.key, opened.store, opened.ledger
        spool = opened.journal
        begun.push_async_callback(opened.close)
        telemetry = _telemetry(config, instruments)
        if telemetry is not None:
            telemetry.know(config.providers.values(), _names(catalog))
            telemetry.start()
            begun.push_async_callback(telemetry.close)  # once the last request has ended
        begun.push_async_callback(spool.close)
        settler = Settler(
            ledger, journal=spool, on_refused=lambda record: log.error(Event.SETTLEMENT_REFUSED, rid=Rid(record.rid))
        )
        begun.push_async_callback(settler.close)
        settler.on_settled(lambda record: instruments.settle.observe((now_ms() - record.settled_ms) / 1_000))
        settler.start()
        authenticator, lanes = Authenticator(store.client, key), Lanes(store.client)
        running = Running()

        def missed() -> None:
            authenticator.forget_all()
            recheck.soon()
            switches.soon()

        def revoked(sid: str) -> None:
            authenticator.forget(sid)
            running.end_session(sid, TokenRevoked(), Outcome.REVOKED)

        def switched(off: Off) -> None:
            log.warning(Event.SWITCHES_CHANGED, count=len(off))
            _show_off(off, instruments)

        listener = Listener(store.endpoint, on_gap=missed, on_fault=lambda error: log.failure(Event.LOOP_ERROR, error))
        recheck = Recheck(store.client, running=running.sids, listening=lambda: listener.listening, revoked=revoked)
        switches = Switches(
            store.client,
            listening=lambda: listener.listening,
            changed=switched,
        )
        listener.on(Topic.SWITCHED, lambda _announced: switches.soon())
        listener.on(Topic.POLICY_CHANGED, lambda announced: authenticator.forget(announced.org or announced.pid))
        listener.on(Topic.SUPERSEDED, lanes.end)
        listener.on(Topic.SESSION_REVOKED, lambda announced: revoked(announced.sid))
        begun.push_async_callback(listener.close)
        await listener.start()
        epoch = Epoch(store)
        await epoch.look()
        await switches.look()  # once announcements are heard: what is switched from here on is announced
        reaper = Reaper(store, ledger, epoch, lease_ms=LEASE_MS, intents=spool)
        webhooks = make_webhooks(config.webhooks)
        administration = opened.administration(webhooks)

        async def erase_again(pid: str, names: Sequence[str]) -> None:
            await administration.rights.erase_account(pid, names)

        async def revoke_again(name: str) -> None:
            with contextlib.suppress(Unconfirmed):  # it is in the journal already
                await revocation.revoke(store, name, actor=Actor.GATEWAY)

        replay = Replay(spool, settler, epoch, on_erased=erase_again, on_revoked=revoke_again)
        leases = Leases(loop, ledger)
        for watch in (epoch, reaper, leases, recheck, switches):
            begun.push_async_callback(watch.close)
            watch.start()
        table = _table(config, loop, instruments)
        most_requests = min(config.server.max_requests, table.most)
        pool = Pool(
            loop,
            Timeouts(config.server.connect_timeout, config.server.first_byte_timeout, config.server.idle_timeout),
            limit=most_requests,  # each has one connection at a time, and so never waits for others'
            capacity=table.most,
        )
        begun.callback(pool.close)
        policy, bounds = config.policy, config.server
        evidence = Evidence(config, catalog, key, observe(), now_ms(), nodes=store.nodes)
        signals = Signals(instruments, log, evidence, telemetry)
        destinations = {name: destination_of(provider) for name, provider in config.providers.items()}
        tokens = _tokens(config, destinations, log)

        async def close_tokens() -> None:
            for token in list(tokens.values()):
                await token.close()

        begun.push_async_callback(close_tokens)
        for token in tokens.values():
            token.start()
        overload = Overload()
        begun.callback(overload.stop)
        overload.start(loop)
        services = Services(
            Rules(config, catalog, make_secrets(policy, key)),
            Books(
                ledger,
                spool,
                settler,
                leases,
                TierLimits(config.tiers),
                unpaid=Pace(bounds.unpaid_requests_per_minute),
                abandoned=Abandoned(int(config.billing.abandoned_credits * MICRO_CREDITS)),
                abort=config.billing.abort,
            ),
            Upstreams(
                pool,
                destinations,
                RetryBudget(config.routing.retry_percent, config.routing.retries_per_second),
                switches,
                policy,
                opening=bounds.opening_timeout,
                identity_key=key,
            ),
            Shares(
                body_budget(bounds.max_inflight_body_bytes, bounds.account_share),
                request_budget(most_requests, bounds.account_share),
                strangers=Pace(bounds.stranger_refusals_per_minute),
                lanes=lanes,
                running=running,
                overload=overload,
                slices=Slices(charge=overload.charge),
            ),
            signals,
        )
        portal = _portal(opened, administration, services.shares, config, log)
        oauth = OAuth(
            opened, services.shares, config, lambda kind, pid: webhooks.emit(WebhookEvent(f"session.{kind}"), pid)
        )
        dispatcher = Dispatcher(services, authenticator, oauth, portal)
        server = Server(dispatcher.handle, dispatcher.broken, log, loop, keep_alive=config.server.keep_alive_timeout)
        begun.push_async_callback(replay.close)
        replay.start()
        upkeep = Upkeep(services, opened, administration, webhooks)
        begun.push_async_callback(upkeep.close)
        upkeep.start()
        for token in tokens.values():
            await token.first()  # otherwise the first requests would find none
        certificate = _certificate(config)
        acceptor = Acceptor(
            sockets,
            server,
            table,
            log,
            tls=None if certificate is None else certificate.context,
            handshake_seconds=config.server.head_timeout,
            by_source=not config.server.behind_tls_proxy,
        )
        begun.callback(acceptor.stop)
        watches = Watches(epoch, reaper, replay, listener)
        reloadable = Reloadable(dispatcher, upkeep, tokens)
        return cls(
            services, server, acceptor, certificate, reloadable, store=store, watches=watches, begun=begun.pop_all()
        )

    async def use(self, config: Config) -> int:
        """Have requests that begin from now on served under another configuration (`gateway.process.reloading`).

        Returns 1: it holds in this worker. Raises `ConfigError`: nothing has changed.
        """
        signals, reloads = self.services.signals, self.services.signals.instruments.reloads
        try:
            services = await asyncio.to_thread(services_under, self.services, config)
        except Exception:
            reloads.inc("refused")
            raise
        signals.log.close_over(config.providers)
        signals.log.close_over(model.name for model in services.rules.catalog.models)
        if signals.telemetry is not None:
            signals.telemetry.know(config.providers.values(), _names(services.rules.catalog))
        before, tokens = self.services.upstreams.destinations, self._reloadable.tokens
        now = services.upstreams.destinations
        fresh = {name: destination for name, destination in now.items() if before.get(name) is not destination}
        begun = _tokens(config, fresh, signals.log)
        for token in begun.values():
            token.start()
        for token in begun.values():
            await token.first()
        self.services = services
        self._reloadable.dispatcher.use(services)
        await self._reloadable.upkeep.use(services)
        for name in [name for name in tokens if name in fresh or name not in now]:
            await tokens.pop(name).close()
        tokens.update(begun)
        reloads.inc("applied")
        return 1

    def _update_gauges(self) -> None:
        books, upstreams, shares = self.services.books, self.services.upstreams, self.services.shares
        gauges, log, watches = self.services.signals.instruments, self.services.signals.log, self._watches
        cells = gauges.registry.cells
        gauges.loop_lag.observe(self._loop.time() - self._due)
        used = time.process_time_ns() // 1_000
        gauges.cpu.add(used - self._cpu)
        self._cpu = used
        if watches.epoch.reachable is self._away:
            self._away = not self._away
            log.warning(Event.STORE_AWAY if self._away else Event.STORE_BACK)
        self._tell_collector()
        self._renew_certificate()
        opened, idle = upstreams.pool.count()
        for gauge, labels, value in (
            (gauges.client_connections, (), len(self._acceptor.table)),
            (gauges.connections, ("open",), opened),
            (gauges.connections, ("idle",), idle),
            (gauges.unsettled, (), books.settler.pending),
            (gauges.owed, (), books.spool.owed),
            (gauges.spool_full, (), int(books.spool.full)),
            (gauges.store_away, (), int(self._away)),
            (gauges.reaped, ("orphan",), watches.reaper.orphans),
            (gauges.reaped, ("voided",), watches.reaper.voided),
            (gauges.dead_letters, (), books.settler.refused + books.settler.dead),
            (gauges.body_bytes, (), shares.bodies.used),
            (gauges.overloaded, (), int(shares.overload.limits)),
            (gauges.draining, (), int(shares.running.draining or self._server.leaving)),
            (gauges.certificate_refused, (), int(self._certificate is not None and self._certificate.refused)),
            (gauges.deaf, (), int(not watches.listener.listening)),
            (gauges.resident, (), resident_bytes()),
            (gauges.tasks, (), len(asyncio.all_tasks(self._loop))),
        ):
            cells[gauge.column(*labels)] = value
        now, destinations = self._loop.time(), upstreams.destinations
        gauges.resting_keys.put({name: at.keys.resting(now) for name, at in destinations.items()})
        gauges.concurrency.put(
            {
                name: sum(one.limit.limit for one in at.turnstiles.values())
                for name, at in destinations.items()
                if at.turnstiles is not None
            }
        )
        gauges.ejected_targets.put({name: at.health.ejected(now) for name, at in destinations.items()})
        books.unpaid.tidy()
        shares.strangers.tidy()
        log.tick()
        self._due = self._loop.time() + GAUGE_SECONDS
        self._gauges = self._loop.call_at(self._due, self._update_gauges)

    def _tell_collector(self) -> None:
        telemetry, log = self.services.signals.telemetry, self.services.signals.log
        if telemetry is None:
            return
        telemetry.tick(self._loop.time())
        if telemetry.away is not self._collector_away:
            self._collector_away = not self._collector_away
            log.warning(Event.COLLECTOR_AWAY if self._collector_away else Event.COLLECTOR_BACK)

    def _renew_certificate(self) -> None:
        certificate, log = self._certificate, self.services.signals.log
        if certificate is None or (renewed := certificate.renew()) is None:
            return
        if renewed:
            self._acceptor.tls = certificate.context
            log.info(Event.CERTIFICATE_RENEWED)
        else:
            log.error(Event.CERTIFICATE_REFUSED)

    async def _hand_over(self, stopping: Stopping, bound: float) -> float:
        """Leave new connections to the other workers, and answer on the open ones until none is left.

        A connection is closed after its next answer, which says so, or once it was idle for `LEAVE_SECONDS`. Returns
        what is left of ``bound``, in seconds.
        """
        self._acceptor.close()
        server, loop = self._server, self._loop
        server.leaving = True
        deadline = loop.time() + bound
        idle: dict[ClientConnection, float] = {}
        while not stopping.told.is_set() and (now := loop.time()) < deadline:
            await asyncio.sleep(LEAVE_POLL_SECONDS)  # also for what was accepted just now
            if not len(self._acceptor.table):
                break
            idle = {connection: idle.get(connection, now) for connection in server.idle()}
            for connection, since in idle.items():
                if now - since >= LEAVE_SECONDS:
                    connection.close()
        return max(0.0, deadline - loop.time())

    async def drain(self, stopping: Stopping) -> bool:
        """Stop accepting, let running requests finish within the bound, settle. Whether all were settled.

        If the worker was replaced, it hands over first. If ``stopping`` is hurried, running requests are cut and
        settled at once.
        """
        bound = self.services.rules.config.server.drain_timeout
        if stopping.replaced:
            bound = await self._hand_over(stopping, bound)
        running, log = self.services.shares.running, self.services.signals.log
        running.draining = True
        log.info(Event.DRAINING, count=len(running))
        self._acceptor.close()
        self._server.pre_shutdown()  # idle keep-alive connections close, busy ones after their answer
        await stopping.until_hurried(set(running.tasks), bound)
        for task in set(running.tasks):
            task.cancel()
        if running:
            await asyncio.wait(set(running.tasks), timeout=CUT_SECONDS)
        books = self.services.books
        # What the ledger is owed by this process, and by dead ones whose files it adopted.
        settled = await books.settler.drain(
            CUT_SECONDS if stopping.hurried.is_set() else min(bound, SETTLE_SECONDS), lambda: books.spool.owed
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await self._server.shutdown(1.0)
        log.info(Event.DRAINED, count=books.spool.owed)
        return settled

    async def close(self) -> None:
        """Close everything that is open."""
        self._gauges.cancel()
        await self._begun.aclose()


def _portal(
    opened: OpenedAccounts[Spool], administration: Administration, shares: Shares, config: Config, log: Log
) -> Answers | None:
    """The portal, where anybody can sign in to it. Built with its first request: most workers have none."""
    if config.supabase is None and not config.development_sign_in:
        return None
    if config.development_sign_in:
        log.warning(Event.DEVELOPMENT_SIGN_IN)
    portal: Portal | None = None

    async def answer(request: web.BaseRequest, rid: str) -> web.StreamResponse:
        nonlocal portal
        if portal is None:
            portal = _build_portal(opened, administration, shares, config)
        return await portal.answer(request, rid)

    return answer


def _build_portal(
    opened: OpenedAccounts[Spool], administration: Administration, shares: Shares, config: Config
) -> Portal:
    from gateway.portal.portal import Portal  # noqa: PLC0415 - see _portal
    from gateway.portal.supabase import (  # noqa: PLC0415 - see _portal
        Policy,
        PublicKeyVerifier,
        SharedSecretVerifier,
        Verifier,
    )

    sign_in = config.supabase
    verifier: Verifier | None = None
    if sign_in is not None:
        people = Policy(sign_in.allow_anonymous, sign_in.min_aal)
        if sign_in.jwt_secret is not None:
            verifier = SharedSecretVerifier(sign_in.issuer, sign_in.audience, sign_in.jwt_secret, people)
        else:
            verifier = PublicKeyVerifier(sign_in.issuer, sign_in.audience, sign_in.jwks_url, people)
    return Portal(opened, administration, shares, config, verifier)


def _telemetry(config: Config, instruments: Instruments) -> Telemetry | None:
    """What sends traces and metrics, if the operator has a collector."""
    if config.telemetry is None:
        return None
    return Telemetry(config.telemetry, instruments, {code: Closed(code) for code in codes()})


def _names(catalog: Catalog) -> dict[str, Closed]:
    """The names of the catalog's models, here and at their providers."""
    names = (name for model in catalog.models for name in (model.name, *(target.model for target in model.targets)))
    return {name: Closed(name) for name in names}


def _tokens(config: Config, destinations: Mapping[str, Destination], log: Log) -> dict[str, AccessTokens]:
    """What keeps the token of each of these providers that is asked with one, by its name."""
    return {
        provider.name: AccessTokens(
            destinations[provider.name],
            ask,
            partial(log.error, Event.TOKEN_UNAVAILABLE, provider=provider.name),
        )
        for provider in config.providers.values()
        if provider.name in destinations and (ask := _asking(provider)) is not None
    }


def _asking(provider: ProviderConfig) -> Callable[[], AccessToken] | None:
    """What asks for the tokens of a provider; ``None`` if it has keys."""
    if provider.account is not None:
        return partial(issue, provider.account)
    if provider.machine is not None:
        return partial(lend, provider.machine)
    return None


def _show_off(off: Off, instruments: Instruments) -> None:
    """Show in the metrics what is switched off."""
    instruments.provider_off.put({name: 1 for what, name in off if what is Switchable.PROVIDER})
    instruments.keys_off.put(Counter(provider_of(name) for what, name in off if what is Switchable.KEY))
    models = sum(what is Switchable.MODEL for what, _ in off)
    instruments.registry.cells[instruments.models_off.column()] = models


def _table(config: Config, loop: asyncio.AbstractEventLoop, instruments: Instruments) -> Connections:
    """The client connections that this process has room for."""
    server = config.server
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = server.max_connections
    if descriptors != resource.RLIM_INFINITY:
        most = room_for(descriptors, most)
    of_one = most if server.behind_tls_proxy else min(most, server.max_connections_per_address or most // 2)
    return Connections(
        most,
        of_one,
        server.head_timeout,
        patient=server.behind_tls_proxy,
        clock=loop.time,
        on_ended=lambda why: instruments.clients_ended.inc(why.value),
    )


def _certificate(config: Config) -> ListenerCertificate | None:
    if config.server.tls_cert is None or config.server.tls_key is None:
        return None
    return ListenerCertificate(config.server.tls_cert, config.server.tls_key)
