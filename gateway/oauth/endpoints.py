"""The OAuth endpoints: device authorization (RFC 8628), tokens (RFC 6749), revocation (RFC 7009), metadata (RFC 8414).

Rules:

1. Errors have RFC 6749's body. If the store does not answer, the answer is 503, never `invalid_grant`, on
   which a client would discard its refresh token.
2. Answers are `Cache-Control: no-store`, and the same for unknown and for wrong codes and tokens.
3. Clients are public (RFC 8252 section 8.5: an app can't keep a secret); `client_id` says which one it is.
4. Nothing of a request is logged: its parameters are secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from gateway.accounts.opening import OpenedAccounts
from gateway.auth import revocation
from gateway.auth.attempts import LookUps, StartedGrants
from gateway.auth.principal import Denial, StoreFailure, family_key, lookup, sid_of
from gateway.config import Config
from gateway.errors import GatewayError, InvalidRequest, MeteringUnavailable, MethodNotAllowed, NotFound
from gateway.http.answers import SERVER_NAME, sentence
from gateway.http.fields import FORM_TYPE, fields_of
from gateway.http.proxies import address_of
from gateway.http.request import FORM_SECONDS, read_body
from gateway.inference.services import Shares
from gateway.oauth import device, paths, refresh
from gateway.oauth.device import Redeemed
from gateway.oauth.paths import CLIENT, DEVICE_GRANT, REFRESH_GRANT
from gateway.oauth.refresh import Reused, Tokens
from metering.accounts import audit
from metering.accounts.audit import Action, Actor
from metering.accounts.living import AccountGone
from metering.spool.spool import Spool
from metering.store.store import Unconfirmed

SCOPE = "inference"
MOST_BYTES = 8_192
MOST_FIELDS = 32
_SEND_A_FORM = f"Send the parameters as {FORM_TYPE}."
_ONE_SCOPE = f"The only scope is {SCOPE}."
_GRANTS = f"The supported grant types are {DEVICE_GRANT} and {REFRESH_GRANT}."

Form = Mapping[str, str]


class OAuthError(Exception):
    """An error of RFC 6749 section 5.2, or of RFC 8628 section 3.5. ``code`` is the member ``error``."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.status = status


class OAuth:
    """The endpoints of one worker. ``emit`` gets (kind, pid) of what an account's owner should hear of."""

    def __init__(
        self,
        opened: OpenedAccounts[Spool],
        shares: Shares,
        config: Config,
        emit: Callable[[str, str], None] | None = None,
    ) -> None:
        self._opened = opened
        self._shares = shares
        self._config = config
        self._emit = emit or (lambda _kind, _pid: None)
        self._started = StartedGrants(opened.store.client, opened.key)
        self._look_ups = LookUps()
        self._posts: dict[str, Callable[[web.BaseRequest, Form], Awaitable[object]]] = {
            paths.DEVICE_AUTHORIZATION: self._device_authorization,
            paths.TOKEN: self._token,
            paths.REVOCATION: self._revoke,
        }

    async def answer(self, request: web.BaseRequest, path: str, rid: str) -> web.Response:
        """Answer a request to one of `paths`, or to an unknown one under their prefix.

        Raises nothing but cancellation and errors that are bugs.
        """
        try:
            if path == paths.METADATA:
                if request.method != "GET":
                    raise MethodNotAllowed("GET")
                return _response(self._metadata(request), 200, rid)
            post = self._posts.get(path)
            if post is None:
                raise NotFound
            if request.method != "POST":
                raise MethodNotAllowed("POST")
            try:
                return _response(await post(request, await self._form(request)), 200, rid)
            except (StoreFailure, Unconfirmed, OSError, TimeoutError):
                raise MeteringUnavailable("The store does not answer. Send the same request again shortly.") from None
        except OAuthError as error:
            body = {"error": error.code, "error_description": error.description}
            return _response(body, error.status, rid, {"x-error-origin": "gateway", "x-error-code": error.code})
        except GatewayError as error:
            code = "temporarily_unavailable" if error.status in {429, 503} else "invalid_request"
            body = {"error": code, "error_description": sentence(error), "code": error.code}
            headers = {"x-error-origin": "gateway", "x-error-code": error.code, **error.headers}
            if error.retry_after is not None:
                headers["Retry-After"] = str(max(1, round(error.retry_after)))
            response = _response(body, error.status, rid, headers)
            if not request.content.is_eof():
                response.force_close()
            return response

    async def _form(self, request: web.BaseRequest) -> Form:
        """The parameters of the body. Raises `OAuthError` if one comes twice (RFC 6749 section 3.2)."""
        if request.content_type != FORM_TYPE:
            raise OAuthError("invalid_request", _SEND_A_FORM)
        with self._shares.bodies.hold(address_of(request, self._config.server)) as share:
            body = await read_body(request, MOST_BYTES, share, FORM_SECONDS, self._shares.slices)
        try:
            pairs = fields_of(body.decode(), MOST_FIELDS, strict=True)
        except (ValueError, InvalidRequest):
            raise OAuthError("invalid_request", "The body is not a form.") from None
        form = dict(pairs)
        if len(form) != len(pairs):
            raise OAuthError("invalid_request", "A parameter is sent twice. Send it once.")
        return {name: value for name, value in form.items() if value}  # an empty one counts as left out

    def _client(self, form: Form) -> str:
        client_id = form.get("client_id", "")
        if client_id != CLIENT and client_id not in self._config.oauth.clients:
            raise OAuthError("invalid_client", "This client_id is unknown.", 401)
        return client_id

    async def _device_authorization(self, request: web.BaseRequest, form: Form) -> object:
        opened = self._opened
        client_id = self._client(form)
        if form.get("scope", SCOPE) != SCOPE:
            raise OAuthError("invalid_scope", _ONE_SCOPE)
        await self._started.admit(self._address(request))
        started = await device.start(
            opened.store.client,
            opened.key,
            client_id=client_id,
            app_version=form.get("app_version", ""),
            platform=form.get("platform", ""),
            scope=SCOPE,
        )
        uri = f"{self._base(request)}{paths.VERIFICATION}"
        return {
            "device_code": started.device_code,
            "user_code": started.user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={started.user_code}",
            "expires_in": started.expires_in,
            "interval": started.interval,
        }

    async def _token(self, request: web.BaseRequest, form: Form) -> object:
        grant = form.get("grant_type")
        if grant == DEVICE_GRANT:
            return await self._redeem(request, form)
        if grant == REFRESH_GRANT:
            return await self._refresh(request, form)
        if grant is None:
            raise OAuthError("invalid_request", "grant_type is missing.")
        raise OAuthError("unsupported_grant_type", _GRANTS)

    async def _redeem(self, request: web.BaseRequest, form: Form) -> object:
        opened = self._opened
        client_id = self._client(form)
        if "device_code" not in form:
            raise OAuthError("invalid_request", "device_code is missing.")
        client, key = opened.store.client, opened.key
        address = self._address(request)
        async with self._look_ups.turn(address):
            found = await device.poll(client, key, form["device_code"], client_id=client_id)
        if not isinstance(found, Redeemed):
            if found.value == "invalid_grant":
                await self._look_ups.failed(address)
            raise OAuthError(found.value, _WHY[found.value])
        try:
            tokens = await refresh.begin(client, key, found, client_id=client_id)
        except AccountGone:  # since the person approved
            raise OAuthError("invalid_grant", _WHY["invalid_grant"]) from None
        self._emit("new_device", found.pid)
        return _tokens(tokens)

    async def _refresh(self, request: web.BaseRequest, form: Form) -> object:
        opened = self._opened
        if "refresh_token" not in form:
            raise OAuthError("invalid_request", "refresh_token is missing.")
        client_id = self._client(form) if "client_id" in form else ""
        address = self._address(request)
        async with self._look_ups.turn(address):
            found = await refresh.rotate(
                opened.store.client,
                opened.key,
                form["refresh_token"],
                client_id=client_id,
                app_version=form.get("app_version", ""),
            )
        if isinstance(found, Tokens):
            await opened.store.confirm(family_key(found.sid))
            return _tokens(found)
        if isinstance(found, Reused):
            self._emit("refresh_reuse", found.pid)
            await revocation.made_known(opened.store, found.sid, journal=opened.journal)
            # The one act that is noted after it: the store finds the reuse and revokes in one step.
            await audit.note(opened.store, Actor.GATEWAY, Action.REVOKED, found.pid)
        await self._look_ups.failed(address)
        raise OAuthError("invalid_grant", _WHY["invalid_grant"])

    async def _revoke(self, request: web.BaseRequest, form: Form) -> object:
        """RFC 7009: 200 for any token. An access token revokes its session too."""
        opened = self._opened
        if "token" not in form:
            raise OAuthError("invalid_request", "token is missing.")
        client, key, token = opened.store.client, opened.key, form["token"]
        address = self._address(request)
        async with self._look_ups.turn(address):
            sid = refresh.sid_of_refresh(key, token)
            if sid is None and await lookup(client, key, token) is not Denial.TOKEN_INVALID:
                sid = sid_of(token)
            if sid is not None:
                await revocation.revoke(opened.store, sid, actor=Actor.APP, journal=opened.journal)
        await self._look_ups.failed(address)  # for every token: a sign-out is rare, and its answer is always the same
        return {}

    def _metadata(self, request: web.BaseRequest) -> object:
        base = self._base(request)
        return {
            "issuer": base,
            "device_authorization_endpoint": f"{base}{paths.DEVICE_AUTHORIZATION}",
            "token_endpoint": f"{base}{paths.TOKEN}",
            "revocation_endpoint": f"{base}{paths.REVOCATION}",
            "grant_types_supported": [DEVICE_GRANT, REFRESH_GRANT],
            "response_types_supported": [],
            "scopes_supported": [SCOPE],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
        }

    def _address(self, request: web.BaseRequest) -> str:
        return address_of(request, self._config.server)

    def _base(self, request: web.BaseRequest) -> str:
        """The configured address, or the one by which this caller reached the listener."""
        return self._config.own_address(request.headers.get("Host", ""))


_WHY = {
    "authorization_pending": "The person has not decided yet. Poll again after the interval.",
    "slow_down": "Polled too soon. From now on the interval is 5 seconds longer.",
    "access_denied": "The person refused. If that was a mistake, start again.",
    "expired_token": "The code has expired. Start again.",
    "invalid_grant": "The code or refresh token is not valid, or not any longer. Sign in again.",
}


def _tokens(tokens: Tokens) -> object:
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "scope": tokens.scope,
    }


def _response(body: object, status: int, rid: str, headers: Mapping[str, str] = {}) -> web.Response:
    return web.Response(
        body=orjson.dumps(body),
        status=status,
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "Pragma": "no-cache",
            "Server": SERVER_NAME,
            "x-request-id": rid,
            **headers,
        },
    )
