"""Serves the internal API: service tokens and their scopes, decoding, errors as problem details.

Rules:

1. The token is checked before the body is read, in the same time for each wrong one.
2. No answer and no log line quotes what was sent. A user's id is in a path, and paths are not logged.
3. An answer that says that something was done comes after it survives the store's loss.
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
from gateway.config.services import ServiceScope, ServiceToken
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
from gateway.internal.operations import OPERATIONS, Call, PlainText, ServiceOperation
from gateway.names import new_rid
from gateway.telemetry.log import Event, Log
from metering.ledger.ledger import LedgerConflict, LedgerUnavailable
from metering.store.embedded import EmbeddedError
from metering.store.store import StoreUnavailable, Unconfirmed

_NO_TOKEN = "Send this service's token as 'Authorization: Bearer'."  # noqa: S105 - a sentence
_STORE_ERRORS = (LedgerUnavailable, StoreUnavailable, StoreFailure, EmbeddedError, Unconfirmed, ConfigError, OSError)


class ServiceApi:
    """The API for services. ``tokens`` empty: every call is refused."""

    def __init__(self, tokens: Sequence[ServiceToken], admin: OnDemand, log: Log) -> None:
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
        decode = None if operation.body is None else msgspec.json.Decoder(operation.body).decode

        async def handle(request: web.Request) -> web.Response:
            async def work(token: ServiceToken) -> object:
                body = None if decode is None else await _read(request, decode)
                call = Call(token.name, request.match_info, request.query, request.headers, body, self._known)
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
            conflict = Conflict("The ledger refused: the key was used otherwise, or an amount is too large.")
            return error_response(conflict, None, rid)
        except _STORE_ERRORS as error:
            self._log.failure(Event.STORE_FAULT, error)
            return error_response(MeteringUnavailable("The store does not answer. Repeat the call."), None, rid)
        headers = {"Server": SERVER_NAME, "x-request-id": rid, "Cache-Control": "no-store"}
        if isinstance(found, PlainText):
            return web.Response(text=found.content, content_type=found.content_type, headers=headers)
        return web.Response(body=msgspec.json.encode(found), content_type="application/json", headers=headers)

    def _authenticate(self, request: web.Request, scope: ServiceScope) -> ServiceToken:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        digest = sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        found: ServiceToken | None = None
        for known, token in self._tokens:  # all of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = token
        if found is None or kind.lower() != "bearer":
            raise TokenInvalid(_NO_TOKEN)
        if scope not in found.scopes:
            raise InsufficientScope(scope)
        return found


async def _read(request: web.Request, decode: Any) -> Any:
    body = await body_of(request)
    try:
        return decode(body)
    except (msgspec.DecodeError, ValueError):
        raise InvalidRequest("The body is not what /internal/openapi.json says.") from None
