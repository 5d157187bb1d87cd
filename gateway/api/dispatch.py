"""From a parsed HTTP request to the code that answers it; from an error to the caller's dialect.

A path is looked up, not routed by patterns: first in the table of the gateway's own paths (`routes`), then among the
providers' (`providers.paths`). The token is checked before any code reads the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

from aiohttp import web

from gateway.api import routes
from gateway.api.account import account, usage_record
from gateway.api.models import Offering, list_models, show_model
from gateway.api.refusals import Refusals
from gateway.api.routes import OwnRoute, Part
from gateway.auth import policy
from gateway.auth.attempts import LookUps, prefix_of
from gateway.auth.authenticator import Authenticator
from gateway.auth.principal import Principal, Scope, worth_trying
from gateway.errors import (
    Draining,
    GatewayError,
    InsufficientScope,
    LocalMode,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    Superseded,
    TokenInvalid,
    TokenRevoked,
    Unauthorized,
    UpgradeRequired,
)
from gateway.http import request as inbound
from gateway.http.answers import error_of_path, error_response, json_response, send_refusal
from gateway.http.proxies import address_of
from gateway.inference.exchange import Exchange
from gateway.inference.services import Services
from gateway.names import Rid, new_rid
from gateway.oauth.endpoints import OAuth
from gateway.portal.documentation import document
from gateway.portal.landing import landing
from gateway.portal.page import asset
from gateway.portal.paths import PagePath
from providers.dialect import Family
from providers.paths import NotServed, PathFault, Route, Surface, family_of_headers, resolve
from providers.wires import WIRES

if TYPE_CHECKING:
    from gateway.http.server import ClientConnection

Answers: TypeAlias = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]  # of a request and its id

_ACCOUNT = web.RequestKey("account", str)  # whose request it is, once that is known
_UNPARSED = "UNKNOWN"  # aiohttp's method of a head that it cannot read
_STRANGERS = "Too many refused requests from this network. Send a valid token, to a path that exists."
_UNPAID = "Too many requests of this account that were refused or are free, such as token counts and model lists."


class Dispatcher:
    """The handler of every request of one worker."""

    def __init__(self, services: Services, authenticator: Authenticator, oauth: OAuth, portal: Answers | None) -> None:
        """Build it.

        Args:
            services: The worker's.
            authenticator: Says whose a token is.
            oauth: Answers for sign-in and tokens.
            portal: Answers for the pages, if there are any.
        """
        self._services = services
        self._authenticator = authenticator
        self._portal = portal
        self._oauth = oauth
        self._look_ups = LookUps()
        self._refusals = Refusals(services.signals.log, services.signals.instruments)

    def use(self, services: Services) -> None:
        """Requests that begin from now on have these."""
        self._services = services

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; raises nothing but cancellation and errors that are bugs."""
        services = self._services
        task = cast("asyncio.Task[object]", asyncio.current_task())
        services.shares.running.tasks.add(task)
        rid = new_rid()
        path, _, query = request.raw_path.partition("?")
        found = _find(request, path)
        try:
            if isinstance(found, OwnRoute):
                return await self._answer_own(request, found, path, query, rid)
            if isinstance(found, PathFault):
                raise error_of_path(found)
            return await self._answer(request, found, query, rid)
        except GatewayError as error:
            return await self._refuse(request, error, found, rid)
        finally:
            services.shares.running.tasks.discard(task)

    async def _refuse(
        self, request: web.BaseRequest, error: GatewayError, found: OwnRoute | Route | PathFault, rid: Rid
    ) -> web.StreamResponse:
        """Answer with an error, and count it: of the account if it is known, else of the network."""
        limited = None
        if 400 <= error.status < 500 and not isinstance(error, Superseded):
            limited = self._limited(request, error)
        response = self._refused(request, limited or error, found, rid)
        if limited is not None:
            response.force_close()
        return await send_refusal(request, response)

    def _limited(self, request: web.BaseRequest, error: GatewayError) -> RateLimited | None:
        """Count a refusal; what is answered in its place if its sender was refused too often already."""
        services = self._services
        pid = request.get(_ACCOUNT)
        if pid is not None:
            services.books.unpaid.add(pid)
            return None  # it was asked for before the request was let in
        tokens = worth_trying(inbound.tokens_of(request))
        if tokens and isinstance(error, Unauthorized):
            return None  # `LookUps` limits these
        pace, message = services.shares.strangers, _STRANGERS
        name = prefix_of(address_of(request, services.rules.config.server))
        for token in tokens:
            known = self._authenticator.cached(token)
            if isinstance(known, Principal):
                pace, name, message = services.books.unpaid, known.pid, _UNPAID
                break
        wait = pace.wait(name)
        if wait:
            return RateLimited(message, retry_after=wait)
        pace.add(name)
        return None

    async def _answer(self, request: web.BaseRequest, route: Route, query: str, rid: Rid) -> web.StreamResponse:
        services = self._services
        started = asyncio.get_running_loop().time()
        if query:
            inbound.refuse_key_in_query(query)
        if route.surface is Surface.WEBSOCKET:
            raise UpgradeRequired(headers={"Upgrade": "HTTP/1.1"})
        if route.operation is not None:
            principal = await self._admit_inference(request)
            if services.shares.running.draining:
                raise Draining
            if not WIRES[route.operation].billed:
                services.books.unpaid.add(principal.pid)
            exchange = Exchange(
                services,
                request,
                route.operation,
                route.family,
                principal=principal,
                admit_again=partial(self._admit_inference, request, principal),
                rid=rid,
                started=started,
            )
            with services.shares.requests.hold(principal.pid) as place:
                place.grow(1)
                return await exchange.run(route.name, query)
        principal = await self._admit(request, Scope.MODELS)
        services.books.unpaid.add(principal.pid)
        family = route.family or Family.OPENAI
        offering = Offering(services.rules.catalog, services.rules.config, principal, family, headers=request.headers)
        if route.surface is Surface.MODELS:
            return list_models(offering, family, query, rid)
        return show_model(offering, family, route.name or "", rid)

    async def _answer_own(
        self, request: web.BaseRequest, route: OwnRoute, path: str, query: str, rid: Rid
    ) -> web.StreamResponse:
        services = self._services
        if route.methods is not None and request.method not in route.methods:
            raise MethodNotAllowed(", ".join(route.methods))
        match route.part:
            case Part.LANDING:
                config, draining = services.rules.config, services.shares.running.draining
                host = request.headers.get("Host", "")
                return landing(config, host, rid, portal=self._portal is not None, draining=draining)
            case Part.DOCUMENT:
                return await document(path, rid)
            case Part.ASSET:
                return asset(PagePath(path), rid)
            case Part.PORTAL:
                return await self._page(request, rid)
            case Part.OAUTH:
                return await self._oauth.answer(request, path, rid)
            case Part.STATEMENT:
                return json_response(services.signals.evidence.statement(), rid)
        if query:
            inbound.refuse_key_in_query(query)
        principal = await self._admit(request, Scope.ACCOUNT)
        services.books.unpaid.add(principal.pid)
        if route.part is Part.ACCOUNT:
            return await account(services.books, services.rules.config.policy, principal, rid)
        ledger, evidence = services.books.ledger, services.signals.evidence
        return await usage_record(ledger, evidence, principal, route.rid, query=query, own_rid=rid)

    async def _page(self, request: web.BaseRequest, rid: str) -> web.StreamResponse:
        portal = self._portal
        if portal is None:
            raise NotFound("The portal needs a sign-in service: configure [supabase] and [portal].")
        return await portal(request, rid)

    async def _admit_inference(self, request: web.BaseRequest, before: Principal | None = None) -> Principal:
        """The caller, who may have a model do something. ``before`` is who it was when the request began: the same
        session, or the token has been revoked, although another one beside it is good.
        """
        principal = await self._admit(request, Scope.INFERENCE, again=before is not None)
        policy.check_app(principal)
        if before is not None and principal.sid != before.sid:
            raise TokenRevoked
        return principal

    async def _admit(self, request: web.BaseRequest, scope: Scope, *, again: bool = False) -> Principal:
        """The caller, whose token was made for ``scope``; a local session reads its own account and nothing else.

        Raises:
            LocalMode: The session is in local mode, or the request asks for it.
            RateLimited: Its account sent too many requests that nobody pays for. ``again``, it has been let through.
        """
        principal = await self._authenticate(request)
        if not again:
            if wait := self._services.books.unpaid.wait(principal.pid):
                raise RateLimited(_UNPAID, retry_after=wait)
            request[_ACCOUNT] = principal.pid
            cast("ClientConnection", request.protocol).asked()
            await self._take_turn(principal.pid)
        if scope not in principal.scopes:
            raise InsufficientScope(scope)
        if scope is not Scope.ACCOUNT:
            self._refuse_local(request, principal)
        return principal

    async def _take_turn(self, pid: str) -> None:
        """Wait, if this worker has too much to do and the account asked for more of it than others."""
        services = self._services
        wait = services.shares.overload.wait(pid)
        if wait:
            services.signals.instruments.overload_waits.inc()
            await asyncio.sleep(wait)

    async def _authenticate(self, request: web.BaseRequest) -> Principal:
        """The session of the first of the request's tokens that is valid.

        Raises:
            Unauthorized: None is; of several, what is wrong with the first.
        """
        denied: Unauthorized | None = None
        for token in worth_trying(inbound.tokens_of(request)):
            try:
                return await self._session(request, token)
            except Unauthorized as error:
                denied = denied or error
        raise denied or TokenInvalid

    async def _session(self, request: web.BaseRequest, token: str) -> Principal:
        """The session of a token; a network that sends many wrong ones has them looked up one by one."""
        services = self._services
        known = self._authenticator.known(token)
        if known is not None:
            return known
        address = address_of(request, services.rules.config.server)
        try:
            async with self._look_ups.turn(address):
                return await self._authenticator.authenticate(token)
        except TokenInvalid:
            await self._look_ups.failed(address)
            raise

    def _refuse_local(self, request: web.BaseRequest, principal: Principal) -> None:
        """A local session reaches no provider; a header can tighten and never loosen."""
        if not policy.is_local(principal.mode, request.headers.getall(policy.MODE_HEADER, ())):
            return
        self._services.signals.instruments.local_mode.add(1)
        raise LocalMode

    def broken(self, request: web.BaseRequest, path: str, error: GatewayError, rid: Rid) -> web.Response:
        """The answer for what is not HTTP, and for a handler that failed."""
        return self._refused(request, error, _find(request, path), rid)

    def _refused(
        self, request: web.BaseRequest, error: GatewayError, found: OwnRoute | Route | PathFault, rid: Rid
    ) -> web.Response:
        """The answer for an error, which is counted and logged."""
        self._refusals.note(error, rid, request.method, _kind(request, found))
        return error_response(error, found.family, rid)


def _kind(request: web.BaseRequest, found: OwnRoute | Route | PathFault) -> Enum:
    """The operation, or the kind of path, that a request asked for."""
    if request.method == _UNPARSED:
        return NotServed.UNREADABLE
    if isinstance(found, Route):
        return found.operation or found.surface
    return found.part if isinstance(found, OwnRoute) else found.kind


def _find(request: web.BaseRequest, path: str) -> OwnRoute | Route | PathFault:
    return routes.find(path, request.headers) or resolve(request.method, path, family_of_headers(request.headers))
