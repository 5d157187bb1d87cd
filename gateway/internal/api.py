"""Serves the internal API: service tokens and their scopes, decoding, errors as problem details.

Rules:

1. The token is checked before the body is read, in constant time.
2. No answer and no log line quotes the request. Paths contain users' ids and are not logged.
3. An act is answered after it survives the loss of the store's primary.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from gateway.accounts.opening import OnDemand
from gateway.auth.principal import StoreFailure
from gateway.config import ConfigError
from gateway.config.changes import Reloaded
from gateway.config.internal import ServiceScope, ServiceToken
from gateway.errors import (
    Conflict,
    GatewayError,
    InsufficientScope,
    InvalidRequest,
    MeteringUnavailable,
    TokenInvalid,
)
from gateway.http.answers import SERVER_NAME, error_response
from gateway.internal.body import body_of
from gateway.internal.introspection import introspect
from gateway.internal.openapi import document
from gateway.internal.operations import OPERATIONS, Call, PlainText, Served, ServiceOperation
from gateway.names import new_rid
from gateway.telemetry.log import Event, Log
from metering.ledger.ledger import LedgerConflict, LedgerUnavailable
from metering.store.embedded import EmbeddedError
from metering.store.store import StoreUnavailable, Unconfirmed

_NO_TOKEN = "Send this service's token as 'Authorization: Bearer'."  # noqa: S105 - a sentence
_STORE_ERRORS = (LedgerUnavailable, StoreUnavailable, StoreFailure, EmbeddedError, Unconfirmed, ConfigError, OSError)


class ServiceApi:
    """The API for services. ``tokens`` empty: every call is refused. ``served`` returns what entitlements may name; it
    raises `ConfigError` if that is unknown at the moment. ``reload`` is that of `gateway.process.reloading`.
    """

    def __init__(
        self,
        tokens: Sequence[ServiceToken],
        admin: OnDemand,
        log: Log,
        served: Callable[[], Awaitable[Served]],
        reload: Callable[[str], Awaitable[Reloaded]],
    ) -> None:
        self._served = served
        self._reload = reload
        self._tokens = [(sha256(token.secret.encode()).digest(), token) for token in tokens]
        self._admin = admin
        self._log = log
        self._known: set[str] = set()
        self._openapi = msgspec.json.encode(document(OPERATIONS))

    def add_to(self, application: web.Application) -> None:
        for operation in OPERATIONS:
            path = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", operation.path)  # aiohttp's own leaves braces out
            application.router.add_route(operation.method, path, self._handler(operation))
        application.router.add_get("/internal/openapi.json", self._describe)
        application.router.add_post("/oauth/introspect", self._introspect)

    async def _describe(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json", headers={"Server": SERVER_NAME})

    def _handler(self, operation: ServiceOperation) -> Any:
        async def handle(request: web.Request) -> web.Response:
            async def work(token: ServiceToken) -> object:
                body = None if operation.body is None else await _read(request, operation.body)
                call = Call(
                    token.name,
                    request.match_info,
                    request.query,
                    request.headers,
                    body,
                    self._known,
                    self._served,
                    self._reload,
                )
                return await operation.handler(await self._admin.get(), call)

            return await self._answer(request, operation.scope, work)

        return handle

    async def _introspect(self, request: web.Request) -> web.Response:
        async def work(_token: ServiceToken) -> object:
            return await introspect(request, self._admin)

        return await self._answer(request, ServiceScope.TOKENS_INTROSPECT, work)

    async def _answer(
        self, request: web.Request, scope: ServiceScope, work: Callable[[ServiceToken], Awaitable[object]]
    ) -> web.Response:
        """What ``work`` finds for a service that has the scope, or the error that it ends in."""
        rid = new_rid()
        try:
            found = await work(self._authenticate(request, scope))
        except GatewayError as error:
            return error_response(error, None, rid)
        except LedgerConflict:
            conflict = Conflict(
                "The ledger refused: the idempotency key was used for another amount, or an amount is too large."
            )
            return error_response(conflict, None, rid)
        except _STORE_ERRORS as error:
            self._log.failure(Event.STORE_FAULT, error)
            return error_response(MeteringUnavailable("The store does not answer. Repeat the call."), None, rid)
        headers = {"Server": SERVER_NAME, "x-request-id": rid, "Cache-Control": "no-store"}
        if isinstance(found, PlainText):
            return web.Response(text=found.content, content_type=found.content_type, headers=headers)
        body = msgspec.json.encode(found, order="deterministic")  # the models of an account are a set
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _authenticate(self, request: web.Request, scope: ServiceScope) -> ServiceToken:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        digest = sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        found: ServiceToken | None = None
        for known, token in self._tokens:  # all of them, so that the time reveals nothing
            if hmac.compare_digest(known, digest):
                found = token
        if found is None or kind.lower() != "bearer":
            raise TokenInvalid(_NO_TOKEN)
        if scope not in found.scopes:
            raise InsufficientScope(scope)
        return found


async def _read(request: web.Request, kind: type[msgspec.Struct]) -> Any:
    """The body. Raises `InvalidRequest`, which names the member at fault and quotes nothing that was sent."""
    body = await body_of(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _fault(error) from None
    except (msgspec.DecodeError, ValueError):
        raise InvalidRequest("The body is not JSON: see docs/billing.md, Bodies.") from None


_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(?P<place>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")


def _fault(error: msgspec.ValidationError) -> InvalidRequest:
    """What is wrong with a body: names the member, in the words of its type, and quotes nothing that was sent."""
    said = str(error)
    if missing := _MISSING.match(said):
        return InvalidRequest("A member is missing: see docs/billing.md, Bodies.", param=missing["name"])
    if said.startswith("Object contains unknown field"):
        return InvalidRequest("The body has an unknown member: see docs/billing.md, Bodies.")
    place = _PLACE.search(said)
    if place is None or not place["place"]:
        return InvalidRequest("The body does not match /internal/openapi.json.")
    return InvalidRequest("This member does not match /internal/openapi.json.", param=place["place"])
