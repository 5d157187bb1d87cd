"""Builds a worker's objects and wires them: the only place that does.

`Worker` is the data plane of one process: open the store, load the ledger's functions, serve the
inherited listening sockets, drain at SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.accounts.administration import make_rights
from gateway.accounts.opening import open_serving
from gateway.accounts.webhooks import WebhookEvent, make_webhooks
from gateway.api.dispatch import Dispatcher
from gateway.auth import revocation
from gateway.auth.announcements import Listener, Topic
from gateway.auth.authenticator import Authenticator
from gateway.auth.recheck import Recheck
from gateway.catalog.catalog import load as load_catalog
from gateway.config import Config
from gateway.errors import TokenRevoked
from gateway.evidence.statement import Evidence
from gateway.hardening.process import observe
from gateway.http.accepting import Acceptor
from gateway.http.connections import Connections, room_for
from gateway.http.pace import Pace
from gateway.http.request import body_budget, request_budget
from gateway.http.server import Server
from gateway.inference.abandoned import Abandoned
from gateway.inference.lanes import Lanes
from gateway.inference.leases import LEASE_MS, Leases
from gateway.inference.limits import TierLimits
from gateway.inference.running import Running
from gateway.inference.secrets import make_secrets
from gateway.inference.services import Answers, Services
from gateway.names import Rid
from gateway.oauth.endpoints import OAuth
from gateway.process.stopping import Stopping
from gateway.process.upkeep import Upkeep
from gateway.telemetry import quiet
from gateway.telemetry.instruments import Instruments
from gateway.telemetry.log import Event, Log
from gateway.upstream.destination import Destination
from gateway.upstream.pool import Pool, Timeouts
from metering.accounts.audit import Actor
from metering.clock import now_ms
from metering.settlement.reaper import Reaper
from metering.settlement.settler import Settler
from metering.spool.replay import Replay
from metering.store.epoch import Epoch
from metering.store.store import Unconfirmed
from metering.usage import MICRO_CREDITS, Outcome

if TYPE_CHECKING:
    from gateway.portal.portal import Portal

BACKLOG = 4096
GAUGE_SECONDS = 1.0
SETTLE_POLL_SECONDS = 0.01
SETTLE_SECONDS = 30.0  # for what the ledger is owed when the last request has ended; the spool keeps the rest
CUT_SECONDS = 5.0  # for requests that are cancelled to settle


def make_instruments(config: Config) -> Instruments:
    """The same series in the same order in every process of one configuration."""
    return Instruments(config.providers)


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


class Worker:
    """One process's data plane."""

    def __init__(
        self,
        services: Services,
        server: Server,
        acceptor: Acceptor,
        watches: Watches,
        begun: AsyncExitStack,
    ) -> None:
        self.services = services
        self._watches = watches
        self._away = False
        self._server = server
        self._acceptor = acceptor
        self._begun = begun  # everything that `close` must end, last begun first
        self._gauges = services.loop.call_later(GAUGE_SECONDS, self._update_gauges)

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
        accounts, spool = opened.accounts, opened.journal
        begun.push_async_callback(opened.close)
        begun.push_async_callback(spool.close)
        settler = Settler(
            ledger, journal=spool, on_refused=lambda record: log.error(Event.SETTLEMENT_REFUSED, rid=Rid(record.rid))
        )
        begun.push_async_callback(settler.close)
        settler.start()
        authenticator, lanes = Authenticator(store.client, key), Lanes(store.client)
        running = Running()

        def missed() -> None:
            authenticator.forget_all()
            recheck.soon()

        def revoked(sid: str) -> None:
            authenticator.forget(sid)
            running.end_session(sid, TokenRevoked(), Outcome.REVOKED)

        listener = Listener(store.endpoint, on_gap=missed, on_fault=lambda error: log.failure(Event.LOOP_ERROR, error))
        recheck = Recheck(store.client, running=running.sids, listening=lambda: listener.listening, revoked=revoked)
        listener.on(Topic.POLICY_CHANGED, lambda announced: authenticator.forget(announced.org or announced.pid))
        listener.on(Topic.SUPERSEDED, lanes.end)
        listener.on(Topic.SESSION_REVOKED, lambda announced: revoked(announced.sid))
        begun.push_async_callback(listener.close)
        await listener.start()
        epoch = Epoch(store)
        await epoch.look()
        reaper = Reaper(store, ledger, epoch, lease_ms=LEASE_MS, intents=spool)
        rights = make_rights(store, ledger, accounts, spool)

        async def erase_again(pid: str, names: Sequence[str]) -> None:
            await rights.erase_account(pid, names)

        async def revoke_again(name: str) -> None:
            with contextlib.suppress(Unconfirmed):  # it is in the journal already
                await revocation.revoke(store, name, actor=Actor.GATEWAY)

        replay = Replay(spool, settler, epoch, on_erased=erase_again, on_revoked=revoke_again)
        leases = Leases(loop, ledger)
        for watch in (epoch, reaper, leases, recheck):
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
        services = Services(
            loop=loop,
            config=config,
            catalog=catalog,
            store=store,
            ledger=ledger,
            settler=settler,
            spool=spool,
            leases=leases,
            pool=pool,
            destinations={name: Destination(provider) for name, provider in config.providers.items()},
            authenticator=authenticator,
            instruments=instruments,
            log=log,
            webhooks=make_webhooks(config.webhooks),
            identity_key=key,
            accounts=accounts,
            rights=rights,
            bodies=body_budget(config.server.max_inflight_body_bytes, config.server.account_share),
            requests=request_budget(most_requests, config.server.account_share),
            unpaid=Pace(config.server.unpaid_requests_per_minute),
            strangers=Pace(config.server.stranger_refusals_per_minute),
            limits=TierLimits(config.tiers),
            lanes=lanes,
            listener=listener,
            running=running,
            evidence=Evidence(config, key, observe(), now_ms()),
            secrets=make_secrets(config.policy, key),
            abandoned=Abandoned(int(config.billing.abandoned_credits * MICRO_CREDITS)),
        )
        services.portal = _portal(services)
        oauth = OAuth(services, lambda kind, pid: services.webhooks.emit(WebhookEvent(f"session.{kind}"), pid))
        dispatcher = Dispatcher(services, oauth)
        server = Server(dispatcher.handle, dispatcher.broken, log, loop, keep_alive=config.server.keep_alive_timeout)
        begun.push_async_callback(replay.close)
        replay.start()
        upkeep = Upkeep(services)
        begun.push_async_callback(upkeep.close)
        upkeep.start()
        acceptor = Acceptor(
            sockets,
            server,
            table,
            log,
            tls=_listener_tls(config),
            handshake_seconds=config.server.head_timeout,
            by_source=not config.server.behind_tls_proxy,
        )
        begun.callback(acceptor.stop)
        return cls(services, server, acceptor, Watches(epoch, reaper, replay), begun.pop_all())

    def _update_gauges(self) -> None:
        services, watches = self.services, self._watches
        cells, gauges = services.instruments.registry.cells, services.instruments
        if watches.epoch.reachable is self._away:
            self._away = not self._away
            services.log.warning(Event.STORE_AWAY if self._away else Event.STORE_BACK)
        opened, idle = services.pool.count()
        for gauge, labels, value in (
            (gauges.client_connections, (), len(self._acceptor.table)),
            (gauges.connections, ("open",), opened),
            (gauges.connections, ("idle",), idle),
            (gauges.unsettled, (), services.settler.pending),
            (gauges.owed, (), services.spool.owed),
            (gauges.spool_full, (), int(services.spool.full)),
            (gauges.store_away, (), int(self._away)),
            (gauges.reaped, ("orphan",), watches.reaper.orphans),
            (gauges.reaped, ("voided",), watches.reaper.voided),
            (gauges.dead_letters, (), services.settler.refused + services.settler.dead),
            (gauges.body_bytes, (), services.bodies.used),
            *(
                (gauges.resting_keys, (name,), destination.keys.resting(services.loop.time()))
                for name, destination in services.destinations.items()
            ),
        ):
            cells[gauge.column(*labels)] = value
        services.unpaid.tidy()
        services.strangers.tidy()
        services.log.tick()
        self._gauges = services.loop.call_later(GAUGE_SECONDS, self._update_gauges)

    async def drain(self, stopping: Stopping) -> bool:
        """Stop accepting, let running requests finish within the bound, settle. Whether all were settled.

        Where ``stopping`` is hurried, what still runs is cut and settled at once.
        """
        services = self.services
        services.draining = True
        services.log.info(Event.DRAINING, count=len(services.running))
        self._acceptor.close()
        self._server.pre_shutdown()  # idle keep-alive connections close, busy ones after their answer
        bound = services.config.server.drain_timeout
        await stopping.until_hurried(set(services.running.tasks), bound)
        for task in set(services.running.tasks):
            task.cancel()
        if services.running:
            await asyncio.wait(set(services.running.tasks), timeout=CUT_SECONDS)
        settled = await self._settle(CUT_SECONDS if stopping.hurried.is_set() else min(bound, SETTLE_SECONDS))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await self._server.shutdown(1.0)
        services.log.info(Event.DRAINED, count=services.spool.owed)
        return settled

    async def _settle(self, seconds: float) -> bool:
        """Wait until the ledger has what this process owes it, its own and what it adopted; whether it has."""
        services = self.services
        try:
            async with asyncio.timeout(seconds):
                while services.settler.pending or services.spool.owed:  # noqa: ASYNC110 - two levels, not an event
                    await asyncio.sleep(SETTLE_POLL_SECONDS)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Close everything that is open."""
        self._gauges.cancel()
        await self._begun.aclose()


def _portal(services: Services) -> Answers | None:
    """The portal, where anybody can sign in to it. Built with its first request: most workers have none."""
    config = services.config
    if config.supabase is None and not config.development_sign_in:
        return None
    if config.development_sign_in:
        services.log.warning(Event.DEVELOPMENT_SIGN_IN)
    portal: Portal | None = None

    async def answer(request: web.BaseRequest, rid: str) -> web.StreamResponse:
        nonlocal portal
        if portal is None:
            portal = _build_portal(services)
        return await portal.answer(request, rid)

    return answer


def _build_portal(services: Services) -> Portal:
    from gateway.portal.portal import Portal  # noqa: PLC0415 - see _portal
    from gateway.portal.supabase import (  # noqa: PLC0415 - see _portal
        Policy,
        PublicKeyVerifier,
        SharedSecretVerifier,
        Verifier,
    )

    config = services.config.supabase
    verifier: Verifier | None = None
    if config is not None:
        people = Policy(config.allow_anonymous, config.min_aal)
        if config.jwt_secret is not None:
            verifier = SharedSecretVerifier(config.issuer, config.audience, config.jwt_secret, people)
        else:
            verifier = PublicKeyVerifier(config.issuer, config.audience, config.jwks_url, people)
    return Portal(services, verifier)


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


def _listener_tls(config: Config) -> ssl.SSLContext | None:
    if config.server.tls_cert is None or config.server.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.server.tls_cert, config.server.tls_key)
    context.set_alpn_protocols(["http/1.1"])
    return context
